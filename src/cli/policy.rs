//! `policy explain`: what the policies of a configuration, or of files, say about a call that might be made. It calls no vault.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use credvault_domain::{
    Action, ActionTarget, NameError, Owner, ProviderId, Purpose, ServiceId, TenantId, TenantSource, UserId,
};
use credvault_identity::{Caller, Explained, Facts, Policies, PolicyFile, VerifiedTenant};
use serde_json::{Value, json};
use tonic::Status;

use super::args::{ConfigArgs, OutputArgs};
use super::failure::Failure;
use super::output::{Format, Output};
use super::secret_input::text_of;
use crate::reload::{FileContents, parsable};

#[derive(Subcommand, Debug)]
pub(super) enum PolicyCommand {
    /// Say whether a service may make a call, and which policies decide. Reads the policy files, and calls no vault. Ends with
    /// code 3 if the call would be denied.
    Explain(ExplainArgs),
}

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The calling service, by its SPIFFE ID.
    #[arg(value_name = "SPIFFE_ID")]
    service: String,
    /// The RPC, such as FetchCredential, or a permission, such as FetchRefreshToken.
    #[arg(value_name = "RPC")]
    action: String,
    /// The tenant that the call is about. Without it, the platform.
    #[arg(long, value_name = "ID")]
    of_tenant: Option<String>,
    /// What vouches for the tenant. By default a header, or nothing for calls of administrators.
    #[arg(long, value_name = "SOURCE", value_parser = ["none", "token", "assertion", "header"])]
    tenant_source: Option<String>,
    /// The verified user of the call, if it has one.
    #[arg(long, value_name = "USER")]
    of_user: Option<String>,
    /// The provider of the connection.
    #[arg(long)]
    provider: Option<String>,
    /// The owner of the connection: `tenant`, `platform`, or `user:` and the user's id.
    #[arg(long)]
    owner: Option<String>,
    /// The purpose that the caller gives.
    #[arg(long)]
    purpose: Option<String>,
    /// The address that the call comes from.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    from: IpAddr,
    /// A policy file to ask in place of those of the configuration. Repeatable.
    #[arg(long, value_name = "FILE")]
    policies: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A call that might be made, and what it is about.
struct Question {
    caller: Caller,
    action: Action,
    namespace: TenantId,
    provider: Option<ProviderId>,
    owner: Option<Owner>,
    purpose: Option<Purpose>,
}

/// What the policies say about one action.
struct Decision {
    action: &'static str,
    permitted: bool,
    policies: Vec<String>,
    /// Why it is denied; empty if it is not.
    denial: String,
}

pub(super) fn run(command: PolicyCommand, output: &mut Output) -> Result<(), Failure> {
    let PolicyCommand::Explain(arguments) = command;
    let question = arguments.question()?;
    let decisions = question.decisions(&arguments.policies()?)?;
    match arguments.output.output {
        Format::Json => {
            let shown: Vec<Value> = decisions.iter().map(Decision::json).collect();
            let text = serde_json::to_string_pretty(&shown);
            output.line::<Failure>(&text.map_err(|error| Failure::Unexpected(error.into()))?)?;
        }
        Format::Table => {
            let rows: Vec<_> = decisions.iter().map(Decision::row).collect();
            output.table::<Failure>(&["ACTION", "DECISION", "POLICIES"], &rows)?;
        }
    }
    match decisions.iter().find(|decision| !decision.permitted) {
        Some(decision) => Err(Status::permission_denied(decision.denial.as_str()).into()),
        None => Ok(()),
    }
}

impl ExplainArgs {
    fn policies(&self) -> Result<Policies, Failure> {
        let files = match self.policies.as_slice() {
            [] => {
                let (settings, problems) = self.config.read().inspect()?;
                if !problems.is_empty() {
                    return Err(problems.into_error().into());
                }
                let read = FileContents::read(&settings).policies.map_err(|unreadable| {
                    let problems: Vec<String> = unreadable.into_iter().map(|one| one.problem).collect();
                    Failure::Usage(format!("identity.policies cannot be read: {}", problems.join("; ")))
                })?;
                parsable(&read)
            }
            paths => {
                let file = |path: &PathBuf| {
                    Ok::<_, Failure>(PolicyFile { name: path.display().to_string(), text: text_of(path)? })
                };
                paths.iter().map(file).collect::<Result<_, _>>()?
            }
        };
        Policies::parse(&files).map_err(|error| Failure::Usage(error.to_string()))
    }

    fn question(&self) -> Result<Question, Failure> {
        let service = ServiceId::parse(&self.service)
            .map_err(|error| Failure::Usage(format!("SPIFFE_ID is wrong: {error}")))?;
        let action = Action::ALL.iter().copied().find(|action| action.as_str() == self.action);
        let action = action.ok_or_else(|| {
            let way_out = "`credvault config show --policy-schema` lists all of them";
            Failure::Usage(format!("RPC must be the name of an RPC or a permission; {way_out}"))
        })?;
        let tenant = given("--of-tenant", self.of_tenant.as_deref(), TenantId::parse)?;
        let user = given("--of-user", self.of_user.as_deref(), UserId::parse)?;
        let source = match self.tenant_source.as_deref().and_then(TenantSource::from_stored) {
            Some(source) => source,
            None if action.service() == "AdminService" => TenantSource::None,
            None => TenantSource::Header,
        };
        let vouched = tenant.clone().filter(|_| source != TenantSource::None);
        if user.is_some() && vouched.is_none() {
            let rule =
                "needs a tenant that is vouched for: give --of-tenant, and --tenant-source if it is none";
            return Err(Failure::Usage(format!("--of-user {rule}")));
        }
        let tenant_of_call = vouched.map(|tenant| VerifiedTenant { tenant, user, source });
        Ok(Question {
            caller: Caller { service, tenant: tenant_of_call, source_address: self.from },
            action,
            namespace: tenant.unwrap_or_else(TenantId::platform),
            provider: given("--provider", self.provider.as_deref(), ProviderId::parse)?,
            owner: self.owner.as_deref().map(owner).transpose()?,
            purpose: given("--purpose", self.purpose.as_deref(), Purpose::parse)?,
        })
    }
}

/// The value of an option, if it is given and keeps its rule.
fn given<T>(
    option: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<Option<T>, Failure> {
    let parsed = text.map(parse).transpose();
    parsed.map_err(|rule| Failure::Usage(format!("{option} {rule}")))
}

fn owner(text: &str) -> Result<Owner, Failure> {
    match (text, text.strip_prefix("user:")) {
        ("tenant", _) => Ok(Owner::Tenant),
        ("platform", _) => Ok(Owner::Platform),
        (_, Some(user)) => {
            let user = UserId::parse(user);
            Ok(Owner::User(
                user.map_err(|rule| Failure::Usage(format!("the user after --owner user: {rule}")))?,
            ))
        }
        (_, None) => {
            Err(Failure::Usage("--owner must be tenant, platform, or user: and the id of a user".to_owned()))
        }
    }
}

impl Question {
    /// What decides whether the call succeeds: permissions that it needs besides, and then the action itself.
    fn decisions(&self, policies: &Policies) -> Result<Vec<Decision>, Failure> {
        let facts = Facts {
            provider: self.provider.as_ref(),
            owner: self.owner.as_ref(),
            purpose: self.purpose.as_ref(),
        };
        let before = self.permissions().into_iter().map(|action| (action, Facts::default()));
        before
            .chain([(self.action, facts)])
            .map(|(action, facts)| self.decision(policies, action, facts))
            .collect()
    }

    /// The permissions without which the vault does not ask about the action.
    fn permissions(&self) -> Vec<Action> {
        let mut needed = Vec::new();
        if self.caller.tenant_source() == TenantSource::Header {
            needed.push(Action::AssertTenant);
        }
        let in_namespace = matches!(self.action.target(), ActionTarget::Connection | ActionTarget::Namespace);
        if in_namespace && self.namespace.is_platform() {
            needed.push(Action::ActForPlatform);
        }
        if let Some(Owner::User(user)) = self.owner.as_ref().filter(|_| in_namespace)
            && self.caller.user() != Some(user)
        {
            needed.push(Action::AccessOtherUsers);
        }
        needed.retain(|permission| *permission != self.action);
        needed
    }

    fn decision(&self, policies: &Policies, action: Action, facts: Facts<'_>) -> Result<Decision, Failure> {
        let name = action.as_str();
        match policies.explain(&self.caller, action, &self.namespace, facts) {
            Explained::Permitted(policies) => {
                Ok(Decision { action: name, permitted: true, policies, denial: String::new() })
            }
            Explained::Denied(denial) => {
                let text = denial.to_string();
                Ok(Decision { action: name, permitted: false, policies: denial.policies, denial: text })
            }
            Explained::NeverAsked(rule) => {
                let options = "--of-tenant names a tenant, --provider a provider, --owner an owner";
                Err(Failure::Usage(format!("{name} {rule}; {options}")))
            }
        }
    }
}

impl Decision {
    fn row(&self) -> Vec<String> {
        let decision = if self.permitted { "permitted" } else { "denied" };
        vec![self.action.to_owned(), decision.to_owned(), self.policies.join(" ")]
    }

    fn json(&self) -> Value {
        let Self { action, permitted, policies, denial } = self;
        json!({ "action": action, "permitted": permitted, "policies": policies, "denial": denial })
    }
}

#[cfg(test)]
mod tests {
    use clap::{FromArgMatches as _, Subcommand as _};

    use super::*;

    const POLICIES: &str = r#"
        @id("delegate") permit (principal, action == Action::"AssertTenant", resource);
        @id("shops") permit (principal, action == Action::"FetchCredential", resource)
            when { context.provider == "shopify" };
        @id("tenants") permit (principal, action == Action::"CreateTenant", resource);
    "#;

    /// An action, whether it is permitted, and the policies that say so.
    type Explained = (&'static str, bool, Vec<String>);

    fn explained(more: &str) -> Result<Vec<Explained>, Failure> {
        let command = PolicyCommand::augment_subcommands(clap::Command::new("policy"));
        let words = format!("policy explain spiffe://one.test/sync {more}");
        let found = command.try_get_matches_from(words.split(' ')).expect("right");
        let PolicyCommand::Explain(arguments) = PolicyCommand::from_arg_matches(&found).expect("right");
        let file = PolicyFile { name: "test.cedar".to_owned(), text: POLICIES.to_owned() };
        let policies = Policies::parse(&[file]).expect("policies");
        let decisions = arguments.question()?.decisions(&policies)?;
        Ok(decisions.into_iter().map(|one| (one.action, one.permitted, one.policies)).collect())
    }

    #[test]
    fn a_call_needs_its_permissions_and_its_action() {
        let of = |id: &str| vec![id.to_owned()];
        let shop = "FetchCredential --of-tenant acme --provider shopify --owner";
        let (asserted, fetched) =
            (("AssertTenant", true, of("delegate")), ("FetchCredential", true, of("shops")));
        let shared = explained(&format!("{shop} tenant")).expect("asked");
        assert_eq!(shared, [asserted.clone(), fetched.clone()]);
        let own = explained(&format!("{shop} user:u1 --of-user u1")).expect("asked");
        assert_eq!(own, [asserted.clone(), fetched.clone()]);
        let others = explained(&format!("{shop} user:u1 --of-user u2")).expect("asked");
        assert_eq!(others, [asserted, ("AccessOtherUsers", false, Vec::new()), fetched.clone()]);
        let vouched = explained(&format!("{shop} tenant --tenant-source token")).expect("asked");
        assert_eq!(vouched, [fetched]);
        let other =
            explained("FetchCredential --of-tenant acme --provider xero --owner tenant").expect("asked");
        assert!(other.iter().any(|(action, permitted, _)| *action == "FetchCredential" && !permitted));
        let created = explained("CreateTenant --of-tenant acme").expect("asked");
        assert_eq!(created, [("CreateTenant", true, of("tenants"))]);
        let platform = explained("FetchCredential --provider shopify --owner platform").expect("asked");
        assert_eq!(platform[0], ("ActForPlatform", false, Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_option() {
        for (more, part) in [
            ("FetchCredentials", "RPC must be"),
            ("FetchCredential --of-tenant acme --owner tenant", "is about a provider"),
            ("FetchCredential --of-tenant acme --provider shopify", "is about an owner"),
            ("CreateTenant", "is about a tenant"),
            ("FetchCredential --owner CANARY", "--owner must be"),
            ("FetchCredential --of-tenant C/ANARY", "--of-tenant "),
            ("CreateTenant --of-tenant acme --of-user u1", "--of-user needs"),
        ] {
            let Err(Failure::Usage(text)) = explained(more) else { panic!("{more}") };
            assert!(text.contains(part) && !text.contains("ANARY"), "{more}: {text}");
        }
    }
}
