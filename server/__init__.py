"""LiveRelay: TikTok LIVE events relayed to phones. Start at app.py, which builds everything."""
