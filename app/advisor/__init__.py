"""The decision: which method fits a project, and why. Pure: texts and answers in, advice out."""
