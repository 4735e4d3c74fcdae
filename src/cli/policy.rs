//! `policy explain|reach`: whether a service may make a call, and which policies say so; and what a service may reach in a tenant.
//! `explain` asks a running vault, or without one the policy files of a configuration. Both ways ask the same question and print
//! the same answer.

mod reach;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use credvault_domain::Violations;
use credvault_identity::{Policies, PolicyFile, PolicyQuestion};
use credvault_proto::v1;
use tonic::Status;

use super::args::{ConfigArgs, OutputArgs};
use super::client::ClientArgs;
use super::completion::{connection_ids_completer, providers_completer};
use super::failure::Failure;
use super::output::{Format, Output};
use super::secret_input::text_of;
use super::serve::{ONE_THREAD, run as run_on};
use crate::grpc::{explained_policy, policy_question};
use crate::reload::{FileContents, parsable};

#[derive(Subcommand, Debug)]
pub(super) enum PolicyCommand {
    /// Say whether a service may make a call, and which policies decide. Asks a running vault; with --policies, --config or
    /// --set it reads policy files, and calls no vault. Ends with code 3 if the call would be denied.
    Explain(Box<ExplainArgs>),
    /// Show what a service may do with the connections of a tenant under the policies of the vault, and what it did. For
    /// administrators.
    Reach(Box<reach::ReachArgs>),
}

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The calling service, by its SPIFFE ID.
    #[arg(value_name = "SPIFFE_ID")]
    service: String,
    /// The RPC, such as FetchCredential, or a permission, such as FetchRefreshToken.
    #[arg(value_name = "RPC")]
    action: String,
    /// The platform is what the call is about, as where no tenant is named.
    #[arg(long, conflicts_with = "tenant")]
    platform: bool,
    /// What vouches for the tenant. By default a header, or nothing for calls of administrators.
    #[arg(long, value_name = "SOURCE", value_parser = ["none", "token", "assertion", "header"])]
    tenant_source: Option<String>,
    /// The verified user of the call, if it has one.
    #[arg(long, value_name = "USER")]
    of_user: Option<String>,
    /// A connection of the tenant that the call is about, in place of its provider and owner. Only a running vault knows it.
    #[arg(long, value_name = "ID", conflicts_with_all = ["provider", "owner"], add = connection_ids_completer())]
    connection: Option<String>,
    /// The provider of the connection.
    #[arg(long, add = providers_completer())]
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
    /// A policy file to ask, in place of a vault and of the files of a configuration. Repeatable.
    #[arg(long, value_name = "FILE")]
    policies: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: PolicyCommand, output: &mut Output) -> Result<(), Failure> {
    let arguments = match command {
        PolicyCommand::Explain(arguments) => *arguments,
        PolicyCommand::Reach(arguments) => return run_on(ONE_THREAD, reach::show(*arguments, output)),
    };
    let (request, question) = arguments.asked()?;
    let explained = if !arguments.asks_files() {
        run_on(ONE_THREAD, async {
            let client = arguments.client.connect().await?;
            Ok::<_, Failure>(client.admin().explain_policy(request).await?.into_inner())
        })?
    } else {
        arguments.of_files(&question)?
    };
    match arguments.output.output {
        Format::Json => output.json::<Failure>("ExplainPolicyResponse", &explained)?,
        Format::Table => print(&explained, output)?,
    }
    match explained.decisions.iter().find(|decision| !decision.permitted) {
        Some(decision) => Err(Status::permission_denied(decision.denial.as_str()).into()),
        None => Ok(()),
    }
}

impl ExplainArgs {
    /// The question, as the vault takes it and as policies do.
    fn asked(&self) -> Result<(v1::ExplainPolicyRequest, PolicyQuestion), Failure> {
        let tenant = self.tenant()?;
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let request = v1::ExplainPolicyRequest {
            service: self.service.clone(),
            action: self.action.clone(),
            tenant_id: tenant.unwrap_or_default(),
            tenant_source: text(&self.tenant_source),
            user_id: text(&self.of_user),
            connection_id: text(&self.connection),
            provider: text(&self.provider),
            owner: self.owner.as_deref().map(owner).transpose()?,
            purpose: text(&self.purpose),
            source_address: self.from.to_string(),
        };
        let question = policy_question(&request).map_err(|violations| wrong(&violations))?;
        Ok((request, question))
    }

    /// The tenant that the call is about. Files are asked without a profile.
    fn tenant(&self) -> Result<Option<String>, Failure> {
        match (self.platform, self.asks_files()) {
            (true, _) => Ok(None),
            (false, true) => self.client.said_tenant(),
            (false, false) => self.client.tenant_or(None),
        }
    }

    /// Whether policy files are asked, and no vault.
    fn asks_files(&self) -> bool {
        !self.policies.is_empty() || self.config.is_given()
    }

    /// What the policy files say that the command line names.
    fn of_files(&self, question: &PolicyQuestion) -> Result<v1::ExplainPolicyResponse, Failure> {
        if self.connection.is_some() {
            let rule = "needs a running vault: name --provider and --owner instead, or leave out --policies, --config and --set";
            return Err(Failure::Usage(format!("--connection {rule}")));
        }
        explained(&self.policies()?, question)
    }

    fn policies(&self) -> Result<Policies, Failure> {
        let files = match self.policies.as_slice() {
            [] => {
                let (settings, problems) =
                    self.config.read().inspect().map_err(|error| unread(Failure::from(error)))?;
                if !problems.is_empty() {
                    return Err(unread(problems.into_error().into()));
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
}

/// Why the policies of a configuration cannot be asked, and how to ask without one.
fn unread(failure: Failure) -> Failure {
    let ways = "these are the settings of --config and --set. To ask policy files alone, name them with --policies; without any of \
                the three, the running vault of the profile is asked";
    Failure::Usage(format!("{failure}\n  {ways}"))
}

/// What these policies say, as a vault with them would answer.
fn explained(policies: &Policies, question: &PolicyQuestion) -> Result<v1::ExplainPolicyResponse, Failure> {
    let said = policies.explain(question);
    let said = said.map_err(|never| Failure::Usage(format!("{} {}", option(never.fact), never.rule)))?;
    Ok(explained_policy(question, &said))
}

/// What is wrong with the command line, by its options.
fn wrong(violations: &Violations) -> Failure {
    let each = violations.iter().map(|one| format!("{} {}", option(&one.field), one.rule));
    Failure::Usage(each.collect::<Vec<_>>().join("; "))
}

/// The option behind a field of the request.
fn option(field: &str) -> &str {
    match field.split('.').next().unwrap_or_default() {
        "service" => "SPIFFE_ID",
        "action" => "RPC",
        "tenant_id" => "--tenant",
        "tenant_source" => "--tenant-source",
        "user_id" => "--of-user",
        "connection_id" => "--connection",
        "provider" => "--provider",
        "owner" => "--owner",
        "purpose" => "--purpose",
        "source_address" => "--from",
        _ => field,
    }
}

fn owner(text: &str) -> Result<v1::Owner, Failure> {
    let (kind, user) = match (text, text.strip_prefix("user:")) {
        ("tenant", _) => (v1::OwnerKind::Tenant, ""),
        ("platform", _) => (v1::OwnerKind::Platform, ""),
        (_, Some(user)) => (v1::OwnerKind::User, user),
        (_, None) => {
            let rule = "--owner must be tenant, platform, or user: and the id of a user";
            return Err(Failure::Usage(rule.to_owned()));
        }
    };
    Ok(v1::Owner { kind: kind.into(), user_id: user.to_owned() })
}

/// Prints the decisions, and what policies may look at besides.
fn print(explained: &v1::ExplainPolicyResponse, output: &mut Output) -> Result<(), Failure> {
    let rows: Vec<_> = explained.decisions.iter().map(row).collect();
    output.table_with_spare::<Failure>(&["ACTION", "DECISION", "POLICIES", "FILES"], 1, &rows)?;
    if explained.not_given.is_empty() {
        return Ok(());
    }
    let options: Vec<&str> = explained.not_given.iter().map(|fact| option(fact)).collect();
    output.line(&format!("Policies may also look at what was not given: {}", options.join(", ")))
}

fn row(decision: &v1::PolicyDecision) -> Vec<String> {
    let said = if decision.permitted { "permitted" } else { "denied" };
    let of = |part: fn(&v1::DecidingPolicy) -> &str| {
        let mut parts: Vec<&str> = decision.policies.iter().map(part).collect();
        parts.dedup();
        parts.join(" ")
    };
    vec![
        decision.action.clone(),
        said.to_owned(),
        of(|policy| policy.id.as_str()),
        of(|policy| policy.file.as_str()),
    ]
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
    type Said = (String, bool, Vec<String>);

    fn arguments(more: &str) -> ExplainArgs {
        let command = PolicyCommand::augment_subcommands(clap::Command::new("policy"));
        let words = format!("policy explain spiffe://one.test/sync {more}");
        let found = command.try_get_matches_from(words.split(' ')).expect("right");
        match PolicyCommand::from_arg_matches(&found).expect("right") {
            PolicyCommand::Explain(arguments) => *arguments,
            PolicyCommand::Reach(_) => panic!("another command"),
        }
    }

    fn said(more: &str) -> Result<Vec<Said>, Failure> {
        let file = PolicyFile { name: "test.cedar".to_owned(), text: POLICIES.to_owned() };
        let policies = Policies::parse(&[file]).expect("policies");
        let asked = arguments(&format!("{more} --policies test.cedar")).asked()?.1;
        let decisions = explained(&policies, &asked)?.decisions;
        let ids = |one: &v1::PolicyDecision| one.policies.iter().map(|policy| policy.id.clone()).collect();
        Ok(decisions.iter().map(|one| (one.action.clone(), one.permitted, ids(one))).collect())
    }

    #[test]
    fn a_call_needs_its_permissions_and_its_action() {
        let of = |action: &str, id: &str| (action.to_owned(), true, vec![id.to_owned()]);
        let denied = |action: &str| (action.to_owned(), false, Vec::new());
        let shop = "FetchCredential --tenant acme --provider shopify --owner";
        let (asserted, fetched) = (of("AssertTenant", "delegate"), of("FetchCredential", "shops"));
        let shared = said(&format!("{shop} tenant")).expect("asked");
        assert_eq!(shared, [asserted.clone(), fetched.clone()]);
        let own = said(&format!("{shop} user:u1 --of-user u1")).expect("asked");
        assert_eq!(own, [asserted.clone(), fetched.clone()]);
        let others = said(&format!("{shop} user:u1 --of-user u2")).expect("asked");
        assert_eq!(others, [asserted, denied("AccessOtherUsers"), fetched.clone()]);
        let vouched = said(&format!("{shop} tenant --tenant-source token")).expect("asked");
        assert_eq!(vouched, [fetched]);
        let other = said("FetchCredential --tenant acme --provider xero --owner tenant").expect("asked");
        assert!(other.contains(&denied("FetchCredential")));
        assert_eq!(said("CreateTenant --tenant acme").expect("asked"), [of("CreateTenant", "tenants")]);
        let platform = said("FetchCredential --provider shopify --owner platform").expect("asked");
        assert_eq!(platform[0], denied("ActForPlatform"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_option() {
        for (more, part) in [
            ("FetchCredentials", "RPC must be"),
            ("FetchCredential --tenant acme --owner tenant", "--provider must be given"),
            ("FetchCredential --tenant acme --provider shopify", "--owner must be given"),
            ("CreateTenant", "--tenant must be given"),
            ("PutTool --tenant acme", "--tenant must not be given"),
            ("FetchCredential --owner CANARY", "--owner must be"),
            ("FetchCredential --tenant C/ANARY", "--tenant "),
            ("FetchCredential --connection CANARY", "--connection "),
            ("CreateTenant --tenant acme --of-user u1", "--of-user needs"),
        ] {
            let Err(Failure::Usage(text)) = said(more) else { panic!("{more}") };
            assert!(text.contains(part) && !text.contains("ANARY"), "{more}: {text}");
        }
    }

    #[test]
    fn files_know_no_connection() {
        let id = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";
        let arguments = arguments(&format!("FetchCredential --connection {id} --policies none.cedar"));
        let (_, question) = arguments.asked().expect("right");
        let Err(Failure::Usage(text)) = arguments.of_files(&question) else { panic!("answered") };
        assert!(text.starts_with("--connection needs a running vault"), "{text}");
    }
}
