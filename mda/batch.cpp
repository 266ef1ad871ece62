#include "mda/batch.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <variant>

#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"
#include "mda/forward.h"
#include "mda/mbox.h"
#include "mda/message_text.h"

namespace mail::mda {
namespace {

using directory::AliasTarget;

/// Whose id a program of the routes asks for. @return false where this process cannot become that user.
bool set_pipe_user(ProgramCall& call, const std::string& name) {
  const passwd* entry = getpwnam(name.c_str());
  if (entry == nullptr || entry->pw_uid == 0 || (geteuid() != 0 && entry->pw_uid != geteuid())) return false;
  if (geteuid() == 0) call.uid = entry->pw_uid, call.gid = entry->pw_gid;
  return true;
}

/// The user that programs of aliases run as when this process is root.
void set_run_user(ProgramCall& call, const std::string& name) {
  if (geteuid() != 0) return;
  const passwd* entry = getpwnam(name.empty() ? "relais" : name.c_str());  // once per program, which costs far more
  if (entry == nullptr || entry->pw_uid == 0) return;
  call.uid = entry->pw_uid, call.gid = entry->pw_gid;
}

}  // namespace

void Batch::note(Place place, Outcome outcome) {
  auto& slot = outcomes_[place.item][place.addressee];
  slot = slot ? worse(std::move(*slot), std::move(outcome)) : std::move(outcome);
}

void Batch::note_once(Place place, Outcome outcome) {
  outcome.once = true;
  note(place, std::move(outcome));
}

std::string Batch::fields(Place place) const {
  return delivery_fields(item(place).reverse_path, addressee(place).forward_path) + item(place).received;
}

/// A message for several mailboxes is written once and linked, so all its copies are the same: no Delivered-To, but
/// where a detail makes the address worth knowing. (What runs in loops, forwards and programs, has the field always.)
std::string Batch::mailbox_fields(Place place, const std::string& detail) const {
  if (item(place).addressees.size() == 1 || !detail.empty()) return fields(place);
  return concat({"Return-Path: <", one_line(item(place).reverse_path), ">\n", item(place).received});
}

std::vector<std::vector<Outcome>> Batch::run() {
  outcomes_.resize(items_.size());
  for (std::size_t i = 0; i < items_.size(); ++i) {
    outcomes_[i].resize(items_[i].addressees.size());
    for (std::size_t k = 0; k < items_[i].addressees.size(); ++k) plan({i, k});
  }
  to_store();
  for (const auto& action : to_mbox_) {
    const auto entry = mbox_entry(fields(action.place), item(action.place).content, item(action.place).reverse_path,
                                  agent_.clock_.now());
    const auto status = append_mbox(agent_.disk_, action.path, entry);
    note_once(action.place, status ? Outcome{} : outcome_of(status.error()));
  }
  for (const auto& action : to_inject_) {
    const auto& from = item(action.place);
    // Without Return-Path: whoever delivers it at last writes that (RFC 5321 section 4.4).
    auto content = concat({delivered_to_field(addressee(action.place).forward_path), from.received, from.content});
    const auto status = agent_.inject_ ? agent_.inject_({.reverse_path = from.reverse_path,
                                                         .recipients = action.recipients,
                                                         .content = std::move(content),
                                                         .require_tls = from.require_tls,
                                                         .smtputf8 = from.smtputf8})
                                       : Status(fail(Error::Kind::temporary, "forwarding needs the spool"));
    note_once(action.place, status ? Outcome{} : outcome_of(status.error()));
  }
  for (const auto& action : to_program_) {
    auto message = with_lf(item(action.place).content);
    if (!action.call.message_only) message.insert(0, fields(action.place));
    note_once(action.place, run_program(action.call, message, agent_.settings_.mda.program_time));
  }
  std::vector<std::vector<Outcome>> out;
  for (auto& row : outcomes_) {
    auto& to = out.emplace_back();
    for (auto& outcome : row) to.push_back(outcome ? std::move(*outcome) : Outcome{});
  }
  return out;
}

void Batch::plan(Place place) {
  const auto& to = addressee(place);
  const auto trace = read_trace(item(place).content, to.forward_path);
  if (trace.delivered_here >= agent_.options_.loop_limit || trace.received > agent_.settings_.smtp.received_limit)
    return note(place, permanent("5.4.6", "Mail loop detected"));
  if (to.user.empty())
    plan_route(place);
  else
    plan_user(place, to.user, to.detail);
}

void Batch::plan_route(Place place) {
  const route::Context context{.sender = {item(place).reverse_path, item(place).account}};
  const auto route = agent_.router_.route_spooled(addressee(place).forward_path, context);
  if (!route) return note(place, outcome_of(route.error()));
  if (route->refusal)
    return note(place, route->refusal->code >= 500 ? permanent(route->refusal->enhanced, route->refusal->text)
                                                   : temporary(route->refusal->enhanced, route->refusal->text));
  std::vector<std::string> remote;
  for (const auto& target : route->targets)
    std::visit(overloaded{
                   [&](const route::LocalMailbox& local) { plan_user(place, local.user, local.detail); },
                   [&](const route::Remote&) { remote.push_back(target.forward_path); },
                   [&](const route::Pipe& pipe) {
                     if (pipe.transport)
                       plan_routed_program(place, *pipe.transport);
                     else
                       plan_program(place, pipe.argv, nullptr, addressee(place).detail);
                   },
                   [&](const route::File& file) { plan_file(place, file.path); },
                   [&](const route::Discard&) { note(place, {}); },
               },
               target.destination);
  if (!remote.empty()) to_inject_.push_back({place, std::move(remote)});
}

void Batch::plan_user(Place place, const std::string& name, const std::string& detail) {
  const auto user = agent_.users_.find_user(name);
  if (!user) return note(place, outcome_of(user.error()));
  if (!*user) return note(place, permanent("5.1.1", "No such user here"));
  if (geteuid() == 0 && !agent_.options_.as_root) {
    if (agent_.settings_.mda.change_user && (*user)->uid && *(*user)->uid != 0)
      return plan_as_user(place, **user, detail);
    return note(place, temporary("4.3.5", "not delivered as root: set mda.change_user, or run.user"));
  }
  if (agent_.settings_.mda.forward_files && plan_forward(place, **user, detail)) return;
  plan_mailbox(place, **user, detail);
}

/// @return false where the mailbox is to be used.
bool Batch::plan_forward(Place place, const directory::User& user, const std::string& detail) {
  const auto targets = read_forward(user, detail);
  if (!targets) {
    log_event(LogLevel::warning, "forward_problem", {{"user", user.name}, {"text", targets.error().text}});
    if (targets.error().kind != Error::Kind::temporary) return false;
    return note(place, temporary("4.3.0", "the .forward file cannot be read now")), true;
  }
  if (!*targets) return false;
  std::vector<std::string> remote;
  for (const auto& target : **targets) {
    switch (target.kind) {
      case AliasTarget::Kind::address: {
        // "\ann", "ann" in ann's own file: the mailbox itself.
        const auto found = agent_.router_.route_spooled(target.text);
        const auto* local = found && found->targets.size() == 1
                                ? std::get_if<route::LocalMailbox>(&found->targets[0].destination)
                                : nullptr;
        if (local != nullptr && iequals(local->user, user.name))
          plan_mailbox(place, user, detail);
        else
          remote.push_back(target.text.find('@') != std::string::npos || agent_.users_.domains().empty()
                               ? target.text
                               : concat({target.text, "@", agent_.users_.domains().front()}));
        break;
      }
      case AliasTarget::Kind::pipe:
        plan_program(place, target.argv, &user, detail);
        break;
      case AliasTarget::Kind::file:
        plan_file(place, target.text);
        break;
      case AliasTarget::Kind::discard:
        note(place, {});
        break;
      case AliasTarget::Kind::error:
        note(place, permanent("5.7.1", target.text.empty() ? "Mail is not accepted here" : target.text));
        break;
      case AliasTarget::Kind::include:
        log_event(LogLevel::warning, "forward_problem",
                  {{"user", user.name}, {"text", ":include: is not followed in a .forward"}});
        break;
    }
  }
  if (!remote.empty()) to_inject_.push_back({place, std::move(remote)});
  return true;
}

void Batch::plan_mailbox(Place place, const directory::User& user, const std::string& detail) {
  const auto& command = agent_.settings_.mda.mailbox_command;
  if (!command.empty())
    return plan_program(place,
                        with_values(command, user, item(place).reverse_path, addressee(place).forward_path, detail),
                        &user, detail);
  if (user.mbox) return to_mbox_.push_back({place, user.mail});
  auto account = agent_.account(user);
  if (!account) return note(place, outcome_of(account.error()));
  store::DeliveryTarget target;
  target.account = std::move(*account);
  target.prefix = mailbox_fields(place, detail);
  target.id = addressee(place).key;
  target.repeated = item(place).repeated;
  target.placed = addressee(place).placed;
  if (!addressee(place).mailbox.empty())
    target.mailbox = addressee(place).mailbox, target.create = true;
  else if (agent_.settings_.mda.detail_mailbox && !detail.empty())
    target.mailbox = detail;
  to_store_.push_back({place, std::move(target)});
}

void Batch::plan_file(Place place, const std::string& path) {
  if (geteuid() == 0 && !agent_.options_.as_root)
    return note(place, temporary("4.3.5", "no file is written as root: set run.user"));
  if (!path.ends_with('/')) return to_mbox_.push_back({place, path});
  store::AccountLocation location;
  location.user = location.maildir = path.substr(0, path.find_last_not_of('/') + 1);
  auto account = agent_.account_at(location);
  if (!account) return note(place, outcome_of(account.error()));
  store::DeliveryTarget target;
  target.account = std::move(*account);
  target.prefix = fields(place);
  target.id = addressee(place).key;
  target.repeated = item(place).repeated;
  target.placed = addressee(place).placed;
  to_store_.push_back({place, std::move(target)});
}

void Batch::plan_program(Place place, std::vector<std::string> argv, const directory::User* user,
                         const std::string& detail) {
  ProgramCall call{
      .argv = std::move(argv),
      .environment = program_environment(user, item(place).reverse_path, addressee(place).forward_path, detail)};
  if (user != nullptr) {
    call.uid = user->uid, call.gid = user->gid;
    if (!user->home.empty() && access(user->home.c_str(), X_OK) == 0) call.directory = user->home;
  } else {
    set_run_user(call, agent_.settings_.run.user);
  }
  to_program_.push_back({place, std::move(call)});
}

/// The program of a `pipe:` route. What its words stand for comes from the network: each stays one word.
void Batch::plan_routed_program(Place place, const config::Transport& transport) {
  const auto& recipient = addressee(place).forward_path;
  directory::User named;
  named.name = recipient;
  ProgramCall call{
      .argv = with_values(transport.argv, named, item(place).reverse_path, recipient, addressee(place).detail),
      .environment = program_environment(nullptr, item(place).reverse_path, recipient, addressee(place).detail)};
  if (transport.run_as.empty()) {
    set_run_user(call, agent_.settings_.run.user);
  } else if (!set_pipe_user(call, transport.run_as)) {
    return note(place, temporary("4.3.5", concat({"the route's program cannot run as user ", transport.run_as,
                                                  ": no such user, or mda is not started as root"})));
  }
  to_program_.push_back({place, std::move(call)});
}

/// This program once more, in pipe mode: it reads the configuration as root, then becomes the user, then touches his
/// files.
void Batch::plan_as_user(Place place, const directory::User& user, const std::string& detail) {
  ProgramCall call{.argv = {"/proc/self/exe"},
                   .environment = {"PATH=/usr/local/bin:/usr/bin:/bin"},
                   .keep_root = true,
                   .message_only = true};
  for (const auto& path : agent_.options_.config_paths) call.argv.insert(call.argv.end(), {"-c", path});
  // "--option=value": no value is taken for an option, whatever it begins with.
  call.argv.insert(call.argv.end(),
                   {concat({"--user=", user.name}), concat({"--sender=", one_line(item(place).reverse_path)}),
                    concat({"--delivered-to=", one_line(addressee(place).forward_path)})});
  if (!detail.empty()) call.argv.push_back(concat({"--extension=", one_line(detail)}));
  if (!addressee(place).mailbox.empty()) call.argv.push_back(concat({"--mailbox=", addressee(place).mailbox}));
  if (!addressee(place).key.empty()) call.argv.push_back(concat({"--id=", addressee(place).key}));
  if (item(place).require_tls) call.argv.emplace_back("--requiretls");
  if (item(place).smtputf8) call.argv.emplace_back("--smtputf8");
  to_program_.push_back({place, std::move(call)});
}

Outcome Batch::of_store(const Status& status) const {
  if (status) {
    Outcome outcome;
    outcome.flushed = unflushed_ == nullptr;
    return outcome;
  }
  const auto& error = status.error();
  if (error.system == EDQUOT && error.kind == Error::Kind::refused)
    return agent_.settings_.mda.quota_full_bounces ? permanent("5.2.2", "Mailbox is full")
                                                   : temporary("4.2.2", "Mailbox is full");
  if (error.kind == Error::Kind::permanent && error.system == 0) return permanent("5.2.3", error.text);
  return outcome_of(error);
}

std::vector<store::DeliveryOutcome> Batch::put(std::span<const store::Delivery> deliveries) {
  return unflushed_ != nullptr ? store::deliver(agent_.store_, deliveries, *unflushed_)
                               : store::deliver(agent_.store_, deliveries);
}

void Batch::to_store() {
  if (to_store_.empty()) return;
  std::vector<store::Delivery> deliveries;
  std::vector<std::vector<ToStore*>> actions;
  std::size_t last = SIZE_MAX;
  for (auto& action : to_store_) {  // in the order of the items: one delivery per message, so that copies are linked
    if (action.place.item != last) {
      last = action.place.item;
      deliveries.push_back({items_[last].content, {}});
      actions.emplace_back();
    }
    deliveries.back().targets.push_back(action.target);
    actions.back().push_back(&action);
  }
  const auto outcomes = put(deliveries);
  std::vector<ToStore*> missing;
  for (std::size_t i = 0; i < actions.size(); ++i)
    for (std::size_t k = 0; k < actions[i].size(); ++k) {
      const auto& status = outcomes[i].targets[k];
      // A mailbox that is not there (a detail is only a wish) must not cost the mail.
      if (!status && status.error().kind != Error::Kind::temporary && status.error().system != EDQUOT &&
          actions[i][k]->target.mailbox != "INBOX")
        missing.push_back(actions[i][k]);
      else
        note(actions[i][k]->place, of_store(status));
    }
  store_again(missing);
}

void Batch::store_again(std::vector<ToStore*>& missing) {
  if (missing.empty()) return;
  std::vector<store::Delivery> deliveries;
  for (auto* action : missing) {
    action->target.mailbox = "INBOX";
    deliveries.push_back({item(action->place).content, {action->target}});
  }
  const auto outcomes = put(deliveries);
  for (std::size_t i = 0; i < missing.size(); ++i) note(missing[i]->place, of_store(outcomes[i].targets[0]));
}

}  // namespace mail::mda
