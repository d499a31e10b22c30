"""Split patches into train, valid and test sets or folds by group."""
