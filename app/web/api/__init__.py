"""The REST API: the same nouns as the pages, in the same order."""
