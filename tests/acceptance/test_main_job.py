"""The main job, end to end on a real server: a Job runs now, later, and on every interval."""

from __future__ import annotations

from tests.live import Live, eventually


def test_a_job_runs_now_and_its_result_and_log_come_back(live: Live) -> None:
    with live.client() as client:
        answer = client.post("/api/extras/jobs/Greet/run/", json={"data": {"who": "Ada"}})
        assert answer.status_code == 201, answer.text
        url = answer.json()["job_result"]["url"]
        done = eventually(lambda: (r := client.get(url).json())["date_done"] and r)
        assert (done["status"]["value"], done["result"]["greeted"]) == ("SUCCESS", "Ada")
        assert done["result"]["as"] == "admin"
        lines = eventually(lambda: [line["message"] for line in client.get(url + "logs/").json()])
        assert "Hello Ada" in lines
