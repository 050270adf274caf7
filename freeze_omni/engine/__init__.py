"""Many sessions on one model: slots, scheduler, admission, worker. No socket inside."""
