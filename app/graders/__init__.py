"""How an answer is scored (`grading`), and how two models' scores are compared (`comparison`)."""
