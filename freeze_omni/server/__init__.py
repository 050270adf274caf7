"""The live server: OpenAI Realtime over WebSockets, health, metrics, a page. Needs the extra `serve`."""
