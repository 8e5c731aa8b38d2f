"""gitexp and MLflow: the same experiment in the words of both."""
