"""Many sessions on one model: seats, scheduler, admission, worker. No socket inside."""
