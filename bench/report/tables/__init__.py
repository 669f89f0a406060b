"""The leaderboard as text: Markdown, LaTeX, CSV and the terminal."""
