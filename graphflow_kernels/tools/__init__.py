"""Programs that made the tables of this package."""
