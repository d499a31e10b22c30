"""Keep decoded patches and exported models in a cache folder."""
