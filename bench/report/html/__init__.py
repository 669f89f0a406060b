"""The leaderboard as one page to sort, filter and search."""
