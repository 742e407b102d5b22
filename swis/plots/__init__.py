"""Pictures of tables: DataFrame in, Axes out."""
