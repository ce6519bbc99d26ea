"""An engine for tests: the part of Docker's REST API that ctld uses, with virtual containers. See README.md."""
