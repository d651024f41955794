"""kafka-python 2.3.3 as before a broker of 0.10.1: Produce 2, Fetch 3, ListOffsets 1, message format v1."""

import cases
from old_kafka_python import Library


class LibraryV1(Library):
    def __init__(self, bootstrap):
        super().__init__(bootstrap, (0, 10, 1), has_timestamps=True)


cases.main(LibraryV1)
