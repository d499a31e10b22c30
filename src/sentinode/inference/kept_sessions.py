"""Predictors that keep their network loaded."""

from functools import cached_property
from typing import Any, Protocol

from sentinode.inference.engines import check_options, open_engine
from sentinode.inference.predictor import Predictor, Session


class KeptSessions(Predictor, Protocol):
    """A predictor that loads its network once for each set of options."""

    def session(self, engine: str = "keras", *, tta: str = "none", precision: str = "float32") -> Session:
        """Load the network into an engine and keep it there, so that one patch takes milliseconds.

        Parameters
        ----------
        engine, tta, precision : str
            See `predict`. For an engine other than Keras the network is exported once, into the user's cache.

        Returns
        -------
        Session
            The same one for the same options.
        """
        options = (engine, tta, precision)
        if options not in self._sessions:
            check_options(*options)
            self._sessions[options] = self._load(*options)
        return self._sessions[options]

    @cached_property
    def _sessions(self) -> dict[tuple[str, str, str], Session]:
        return {}

    def _load(self, engine: str, tta: str, precision: str) -> Session:
        if engine == "keras":
            from sentinode.inference.keras_predictor import keras_session

            return keras_session(self, tta, precision)
        settings: dict[str, Any] = {"engine": engine} | ({} if precision == "float32" else {"precision": precision})
        return Session(self, open_engine(engine, self.network_file(engine, precision), precision), settings)
