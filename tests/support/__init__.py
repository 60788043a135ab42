"""What tests of several folders stand on: fakes, rigs for the real parts, and processes that are started and killed."""
