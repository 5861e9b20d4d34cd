"""The closed set of failure classes that files and stores can cause; each class carries its policy."""

from __future__ import annotations

from enum import StrEnum

from cluster.outcome import Failure, FailureError, Policy


class FailureKind(StrEnum):
    """Why a file has no verdict. Together with cluster.outcome.ClusterFault this is the whole set."""

    NOT_FOUND = "not_found"
    ACCESS_DENIED = "access_denied"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    EMPTY_FILE = "empty_file"
    NOT_A_VIDEO = "not_a_video"
    NO_VIDEO_STREAM = "no_video_stream"
    UNSUPPORTED_CODEC = "unsupported_codec"
    DAMAGED = "damaged"
    TOO_LARGE = "too_large"

    @property
    def policy(self) -> Policy:
        retry = {FailureKind.STORAGE_UNAVAILABLE, FailureKind.ACCESS_DENIED}
        quarantine = {FailureKind.DAMAGED, FailureKind.TOO_LARGE}
        if self in retry:
            return Policy.RETRY
        return Policy.QUARANTINE if self in quarantine else Policy.SKIP

    def failure(self, message: str) -> Failure:
        """This class as a value, with one sentence for a person."""
        return Failure(self.value, self.policy, message)

    def error(self, message: str) -> FailureError:
        """This class as an exception, for raising inside a worker."""
        return FailureError(self.failure(message))


class HomeError(RuntimeError):
    """What a home keeps (database, parts, snapshots) cannot be used; one sentence says why. Exit code 3."""


class StoreError(FailureError, HomeError):
    """A file of the home cannot be read or written; carries the class of the failure, like any store's."""

    def __reduce__(self) -> tuple[type[FailureError], tuple[Failure]]:
        return (StoreError, (self.failure,))


class DatabaseError(HomeError):
    """The database cannot be used; one sentence says why. The command ends with exit code 3."""


class BadUsageError(ValueError):
    """Arguments that make no sense, alone or together; one sentence says why. The command ends with exit code 2."""
