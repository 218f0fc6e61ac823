"""Everything that talks to TikTok and its sign server; the only package that imports TikTokLive."""
