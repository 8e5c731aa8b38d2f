"""Other programs' words and ours: MLflow, DagsHub, training callbacks, importers, export."""
