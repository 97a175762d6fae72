"""Where executions live: one Protocol, and a room for each implementation, a cluster and the embedded supervisor."""
