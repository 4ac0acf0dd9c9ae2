"""Model packs: a trained model as a small folder of plain files, ready to search with."""
