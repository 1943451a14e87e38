"""The page: requests to it, and a real Chromium on it."""
