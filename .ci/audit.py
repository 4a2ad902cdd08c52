"""Known vulnerabilities of what is locked: says how many packages could be looked up, and fails for any it finds."""

import json
import subprocess
import sys

OPTIONS = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json", "-r", "locks/dev.txt"]

done = subprocess.run([sys.executable, "-m", "pip_audit", *OPTIONS], capture_output=True, text=True)
try:
    packages = json.loads(done.stdout)["dependencies"]
except (ValueError, KeyError):
    print(f"audit: not possible here: {done.stderr.strip()[-200:]}")
    sys.exit(0)
looked_up = [package for package in packages if "skip_reason" not in package]
found = [(package, flaw) for package in looked_up for flaw in package["vulns"]]
for package, flaw in found:
    fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
    print(f"audit: {package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}")
print(
    f"audit: {len(looked_up)} of {len(packages)} locked packages could be looked up, {len(found)} known vulnerabilities"
)
if not looked_up:
    print("audit: this index does not answer for any of them; run it where pypi.org can be reached")
sys.exit(bool(found))
