# Turns workspaces into report.json (`result` is one run), and report.json into tables and sentences.

def tenths: . * 10 | round | "\(. / 10 | floor).\(. % 10)";
def thousandths: . * 1000 | round | . / 1000;
def words: ascii_downcase | gsub("_"; " ");

# Takes a Workspace as `hearth ls --output json` prints it: fields with their default value are missing.
def result($run; $name; $hook_runs):
  def word($prefix): . // "" | ltrimstr($prefix);
  {
    run: $run, name: $name, node, state: (.state | word("WORKSPACE_STATE_")),
    cache: {
      result: (.cache.result | word("CACHE_RESULT_")),
      skip_reason: (.cache.skipReason | word("CACHE_SKIP_REASON_")),
      reasons: (.cache.reasons // []),
      steps_total: (.cache.stepsTotal // 0),
      steps_reused: (.cache.stepsReused // 0),
      bytes_fetched: (.cache.bytesFetched // 0 | tonumber)
    },
    # The times of a step that ran twice are added.
    seconds: (reduce .timings[]? as $timing ({};
      .[$timing.step | word("PIPELINE_STEP_") | ascii_downcase] += ($timing.seconds // 0))
      | del(.push) | map_values(thousandths)),
    ready_seconds: (.readySeconds // 0 | thousandths),
    hook_runs: $hook_runs,
    push: {
      outcome: (.push.outcome | word("PUSH_OUTCOME_")),
      digest: (.push.digest // ""),
      bytes: (.push.bytes // 0 | tonumber),
      seconds: (.push.seconds // 0 | thousandths)
    }
  };

# The summary, as rows of cells.
def table:
  ["run", "node", "cache", "steps reused", "fetched", "ready after", "push"],
  (.runs[] | [
    "\(.run) \(.name)",
    .node,
    ({MISS: "miss, all built", PARTIAL: "partial hit, the rest built", EXACT: "exact hit, finished image fetched"}
      [.cache.result] // ("\(.cache.result): \(.cache.skip_reason)" | words)),
    (if .cache.steps_total > 0 then "\(.cache.steps_reused) of \(.cache.steps_total)" else "nothing built" end),
    (if .cache.result == "EXACT" then "\(.cache.bytes_fetched / 1e6 | if . < 10 then tenths else round end) MB" else "-" end),
    "\(.ready_seconds | tenths) s",
    (if .push.outcome == "PUSHED" then "pushed in \(.push.seconds | tenths) s"
      elif .push.outcome == "UNCHANGED" then "not needed"
      else .push.outcome | words | sub("^skipped "; "none: ") end)
  ]);

# The summary, as sentences.
def meaning:
  .runs as [$cold, $warm, $edit] |
  (if $cold.cache.result == "MISS" and $warm.cache.result == "EXACT" then
    "The warm start was \($cold.ready_seconds / $warm.ready_seconds | tenths) times as fast as the cold one: \($warm.ready_seconds | tenths) s"
    + " instead of \($cold.ready_seconds | tenths) s, on a node that had never seen the repository."
  else ($warm.cache | if .result == "SKIPPED" then "The cache was left aside: \(.skip_reason | words)." else empty end),
    "The first start took \($cold.ready_seconds | tenths) s, the second \($warm.ready_seconds | tenths) s." end),
  (if $edit then
    "After the edit \($edit.cache.steps_reused) of \($edit.cache.steps_total) steps came from the cache: \($edit.ready_seconds | tenths) s.",
    ([.runs[].hook_runs] | if all(. == 1) then "postCreateCommand ran exactly once in each workspace."
      else "postCreateCommand ran \(map(tostring) | join(", ")) times." end)
  else "No third run: it is not known which file of this repository the image contains." end);

# Expectations for the sample that were not met.
def unmet:
  .runs as [$cold, $warm, $edit] |
  [$cold.cache.result == "MISS", "run 1 is a miss"],
  [$warm.cache.result == "EXACT", "run 2 is an exact hit"],
  [$warm.cache.steps_total == 0, "run 2 builds nothing"],
  [$edit.cache.result == "PARTIAL", "run 3 is a partial hit"],
  [0 < $edit.cache.steps_reused and $edit.cache.steps_reused < $edit.cache.steps_total,
    "run 3 reuses some of its steps and builds the others"],
  [all(.runs[]; .hook_runs == 1), "hooks run exactly once in each workspace"],
  [$warm.ready_seconds * 2 < $cold.ready_seconds, "the warm start takes less than half of the cold one"] |
  select(.[0] | not) | "NOT MET: \(.[1])";
