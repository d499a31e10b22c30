"""Everything that depends on Keras internals, in one package.

Keras has no public API for what is collected here: private attributes are read, and the `call` of some layers is
replaced while a network is trained. Each function is tested with Keras 3.15.1, hence ``keras<3.16`` in
``pyproject.toml``: Keras changes internals in minor versions. To allow a new version, run
``tests/test_keras_compat.py`` with it and raise the bound. 3.13 is the first version whose Muon has a `rms_rate`.
"""
