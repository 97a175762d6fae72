"""Where executions live: one Protocol, one module per implementation."""
