"""The web service: pages for people and an API for programs, over the same nouns."""
