"""The nouns and rules of scheduled jobs; it knows no framework and no database."""
