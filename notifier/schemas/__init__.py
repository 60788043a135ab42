"""JSON Schemas of every callback, draft 2020-12: one file for each type and format, shipped for receivers to use.

build: what they say · `python -m notifier.schemas` writes the files anew, and a test holds them to it ·
`notifier schema` prints them.
"""
