"""Answers of the facial services' addresses, as examples."""

_TASK = {"id": "6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11", "task_id": "6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11"}

SUBMITTED: dict[str, object] = {
    **_TASK,
    "status": "pending",
    "message": "Task submitted; ask for its status.",
    "submitted_at": "2025-11-26T12:00:00.000000Z",
    "estimated_completion_time": "2025-11-26T12:00:00.200000Z",
}
DRAWN: dict[str, object] = {
    **_TASK,
    "status": "completed",
    "svg": "PHN2ZyB4bWxucz0iaHR0cDov",
    "mask_contours": {"1": [[118.2, 211.0], [402.7, 198.4], [260.1, 120.9]]},
    "regions": [{"number": 1, "name": "forehead", "color": "#B695C0"}],
    "transform": [[0.92403864, 0.38229552, -337.6761751], [-0.38229552, 0.92403864, 213.4265214]],
    "crop": {"width": 786, "height": 969},
    "progress": 100,
    "error": None,
    "submitted_at": "2025-11-26T12:00:00.000000Z",
    "completed_at": "2025-11-26T12:00:00.310000Z",
    "processing_time_ms": 97.4,
    "cached": False,
}
FIGURES: dict[str, object] = {
    "period_days": 7,
    "total_requests": 412,
    "cache_hits": 307,
    "cache_hit_ratio": 74.51,
    "successful_tasks": 101,
    "failed_tasks": 4,
    "avg_processing_time_ms": 92.4,
    "total_cached_entries": 96,
    "cached_bytes": 8512004,
    "cache_efficiency": 76.2,
}
CLEANED: dict[str, object] = {
    "deleted_entries": 12,
    "message": "12 entries were removed.",
    "timestamp": "2025-11-26T12:00:00.000000Z",
}
