"""The VZ module: a second, guest context beside root's (MD00848)."""
