// What a policy can speak of: who asks, what for, where, and the facts that the asking side proved. Every decision's
// input names the subject (whose authority), the caller (who sent it) and the executor (who would act), so that no
// policy can take one for another. Changing a type here changes what old policies mean: the schema is part of the
// policy's digest.

/** Cedar schema of every question that is asked in the mesh. */
export const POLICY_SCHEMA = `
type Party = { "id": String, "kind": String };
type Chain = { "depth": Long, "lvl": Long };

entity Role;
entity Operator in [Role] = { "id": String };
entity Agent in [Role] = { "id": String, "task": String };
entity Ci in [Role] = { "id": String };
entity Node = { "id": String, "lvl": Long, "svid_key": String };
entity Hub = { "id": String };

type SpawnContext = {
  "subject": Party, "caller": Party, "executor": Party, "chain": Chain, "lvl": Long, "now": datetime,
  "exe": String, "caps": Set<String>, "profile": String, "cmd_digest": String, "wall_s"?: Long, "cwd"?: String,
  "identity"?: String,
};
type ProcessContext = {
  "subject": Party, "caller": Party, "executor": Party, "chain": Chain, "lvl": Long, "now": datetime,
  "proc": String, "cmd_digest": String,
};
type NodeContext = {
  "subject": Party, "caller": Party, "executor": Party, "chain": Chain, "lvl": Long, "now": datetime,
  "cmd_digest": String,
};
type HubContext = {
  "subject": Party, "caller": Party, "executor": Party, "chain": Chain, "now": datetime,
  "target"?: String,
};

action "spawn" appliesTo { principal: [Operator, Agent, Ci], resource: [Node], context: SpawnContext };
action "watch", "kill" appliesTo { principal: [Operator, Agent, Ci], resource: [Node], context: ProcessContext };
action "list", "audit.export" appliesTo { principal: [Operator, Agent, Ci], resource: [Node], context: NodeContext };
action "node.list", "node.inspect", "pcr-policy.apply", "pcr-policy.show", "node.join-token", "node.revoke", "revoke", "allow", "log.read", "federation.list",
  "trust.read", "bundle.import", "ladder.request", "ladder.import", "ceremony.anchor"
  appliesTo { principal: [Operator, Agent, Ci], resource: [Hub], context: HubContext };
`

/** In force when the hub's configuration names no policy file: operators may do everything, nobody else anything. */
export const DEFAULT_POLICY = `
@id("default.operator")
@reason("a principal in the role operator may do everything")
permit(principal in Role::"operator", action, resource);
`
