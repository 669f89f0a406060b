"""From records and fact rows to the rows of the leaderboard."""
