"""Answers that several doors give: results of a run, streams of events, errors in the words of FastAPI, ends as texts."""
