"""Other programs and their formats: MLflow, DagsHub, training callbacks, importers, export."""
