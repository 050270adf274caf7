"""A dialogue as a reducer over events, and the driver that runs a model for it."""

from freeze_omni.session.session import SessionConfig, SpeechSession

__all__ = ["SessionConfig", "SpeechSession"]
