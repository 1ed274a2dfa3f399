"""The report of one run: what Ansible's events say of each host (model), as a line (summary), as a page (page).

A callback plugin (playbooks/callback_plugins/rollout_report.py) feeds it, so that a run that fails or is cut off has
its report too. Nothing of a task's arguments or variables gets in: only changes by name, outcomes, problems and
journals, and these with known secrets blacked out (secrets).
"""
