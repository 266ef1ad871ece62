#include "route/expansion.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/disk.h"
#include "base/log.h"
#include "base/strings.h"

namespace mail::route {
namespace {

using directory::AliasTarget;

struct Included {
  std::vector<AliasTarget> targets;
  bool trusted = false;  // may run programs and write files
};

/// An :include: file. Whoever can write it decides where mail goes: group and world must not; programs only from files
/// of root or of this process's user.
Result<Included> read_include(const std::string& path, std::uint64_t most) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return fail_errno("open", path);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return fail_errno("stat", path);
  if (!S_ISREG(status.st_mode)) return fail(Error::Kind::permanent, path + ": not a regular file");
  if ((status.st_mode & S_IWOTH) != 0) return fail(Error::Kind::permanent, path + ": everybody may write to it");
  MAIL_TRY(text, read_file(fd.get(), most));
  MAIL_TRY(targets, directory::parse_alias_targets(text));
  const bool trusted = (status.st_uid == 0 || status.st_uid == geteuid()) && (status.st_mode & S_IWGRP) == 0;
  return Included{std::move(targets), trusted};
}

bool is_own(AliasTarget::Kind kind) {
  return kind == AliasTarget::Kind::pipe || kind == AliasTarget::Kind::file || kind == AliasTarget::Kind::discard;
}

}  // namespace

void Router::Expansion::add_final(std::string forward_path, Destination destination) {
  Target target{std::move(forward_path), std::move(destination)};
  if (std::ranges::find(route_.targets, target) != route_.targets.end()) return;
  if (route_.targets.size() >= router_.options_.most_targets) {
    route_.refusal = Refusal{550, "5.4.6", "Alias has too many targets"};
    return;
  }
  route_.targets.push_back(std::move(target));
}

void Router::Expansion::loop(const Address& address) {
  log_event(LogLevel::warning, "alias_loop", {{"address", address.text()}});
  if (!route_.refusal) route_.refusal = Refusal{550, "5.4.6", "Alias loop"};
}

Status Router::Expansion::add(const Address& address, int depth) {
  const auto key = to_lower(address.text());
  if (active_.contains(key)) {
    // "ann: ann, bob" means ann's own mailbox.
    if (!router_.is_local_domain(address.domain)) return loop(address), Status();
    MAIL_TRY(mailbox, router_.mailbox_of(address));
    if (mailbox) return add_mailbox(address, *mailbox);
    return loop(address), Status();
  }
  if (!seen_.insert(key).second) return {};
  MAIL_TRY(is_virtual, add_virtual(address, depth, !router_.is_local_domain(address.domain)));
  if (is_virtual) return {};
  if (!router_.is_local_domain(address.domain)) {
    // RFC 5321 section 4.5.1: there is a postmaster in every domain.
    if (!iequals(address.name, "postmaster") || depth >= router_.options_.most_depth) return {};
    route_.expanded = true;
    const auto to = concat({"postmaster@", router_.default_domain()});
    return add_address({AliasTarget::Kind::address, to, {}}, address, depth + 1);
  }
  std::string name;
  const auto* targets = router_.alias_of(*aliases_, address, &name);
  if (targets == nullptr) {
    MAIL_TRY(routed, add_routed(address, nullptr));
    return routed ? Status() : add_mailbox_or_else(address, depth);
  }
  note({"alias: ", name});
  if (depth >= router_.options_.most_depth) return loop(address), Status();
  if (depth == 0 && aliases_->find("owner-" + name) != nullptr)
    route_.owner = concat({"owner-", name, "@", address.domain});
  route_.expanded = true;
  active_.insert(key);
  const auto status = add_targets(*targets, address, depth + 1, false);
  active_.erase(key);
  return status;
}

Status Router::Expansion::add_mailbox_or_else(const Address& address, int depth) {
  MAIL_TRY(mailbox, router_.mailbox_of(address));
  if (mailbox) return add_mailbox(address, *mailbox);
  const auto& postmaster = router_.options_.postmaster;
  if (iequals(address.name, "postmaster") && !postmaster.empty() && !iequals(postmaster, "postmaster")) {
    route_.expanded = true;
    return add_address({AliasTarget::Kind::address, postmaster, {}}, address, depth + 1);
  }
  const auto key = "@" + address.domain;
  if (const auto* all = aliases_->find(key); all != nullptr && depth < router_.options_.most_depth) {
    route_.expanded = true;
    note({"alias: ", key});
    return add_targets(*all, address, depth + 1, false);
  }
  MAIL_TRY(is_virtual, add_virtual(address, depth, true));
  if (is_virtual) return {};
  if (depth > 0)
    log_event(LogLevel::warning, "alias_problem",
              {{"address", address.text()}, {"text", "an alias names a user who does not exist"}});
  return {};
}

Status Router::Expansion::add_targets(const std::vector<AliasTarget>& targets, const Address& alias, int depth,
                                      bool from_include) {
  if (targets.empty() && !from_include)
    return fail(Error::Kind::temporary, concat({"the alias of ", alias.text(), " cannot be understood"}));
  for (const auto& target : targets) {
    if (own_only_ && !is_own(target.kind) && target.kind != AliasTarget::Kind::include &&
        target.kind != AliasTarget::Kind::address)
      continue;
    MAIL_CHECK(add_target(target, alias, depth, from_include));
  }
  return {};
}

Status Router::Expansion::add_target(const AliasTarget& target, const Address& alias, int depth, bool from_include) {
  switch (target.kind) {
    case AliasTarget::Kind::address:
      return add_address(target, alias, depth);
    case AliasTarget::Kind::pipe:
      return add_final(alias.text(), Pipe{target.argv}), Status();
    case AliasTarget::Kind::file:
      return add_final(alias.text(), File{target.text}), Status();
    case AliasTarget::Kind::discard:
      return add_final(alias.text(), Discard{}), Status();
    case AliasTarget::Kind::error:
      if (!route_.refusal)
        route_.refusal = Refusal{550, "5.7.1", target.text.empty() ? "Mail is not accepted here" : target.text};
      return {};
    case AliasTarget::Kind::include:
      break;
  }
  if (from_include || depth >= router_.options_.most_depth) return loop(alias), Status();
  auto included = read_include(target.text, router_.options_.include_octets);
  if (!included) {
    // A list that cannot be read now must not lose its mail: temporary, unless the file itself is wrong.
    if (included.error().kind == Error::Kind::temporary) return tl::unexpected(std::move(included).error());
    log_event(LogLevel::error, "alias_problem", {{"address", alias.text()}, {"text", included.error().text}});
    return fail(Error::Kind::temporary, included.error().text);
  }
  if (!included->trusted)
    std::erase_if(included->targets, [&](const AliasTarget& inner) {
      const bool drop = inner.kind == AliasTarget::Kind::pipe || inner.kind == AliasTarget::Kind::file;
      if (drop)
        log_event(
            LogLevel::warning, "alias_problem",
            {{"address", alias.text()},
             {"text", target.text + ": programs and files only from a file of root that its group cannot write"}});
      return drop;
    });
  return add_targets(included->targets, alias, depth + 1, true);
}

Status Router::Expansion::add_address(const AliasTarget& target, const Address& alias, int depth) {
  const auto text =
      target.text.starts_with('@') ? alias.local_part + target.text : target.text;  // "@old: @new" keeps the local part
  const auto address = take_apart(text, alias.domain);
  if (!address) {
    log_event(LogLevel::warning, "alias_problem",
              {{"address", alias.text()}, {"text", concat({"not an address: ", text})}});
    return {};
  }
  const bool local = router_.is_local_domain(address->domain);
  if (own_only_) {
    // Of the addresses only the alias's own mailbox is delivered here.
    if (!local || !iequals(address->text(), alias.text())) return {};
    MAIL_TRY(mailbox, router_.mailbox_of(*address));
    if (mailbox) add_final(address->text(), *mailbox);
    return {};
  }
  if (!local) {
    MAIL_TRY(is_virtual, router_.is_virtual_domain(address->domain));
    if (is_virtual) return add(*address, depth);
    if (depth < router_.options_.most_depth && !active_.contains(to_lower(address->text()))) {
      MAIL_TRY(mapped, add_virtual(*address, depth, true));
      if (mapped) return {};
    }
    return add_remote(*address);
  }
  if (target.final) {
    MAIL_TRY(mailbox, router_.mailbox_of(*address));
    if (mailbox) return add_mailbox(*address, *mailbox);
    return {};
  }
  return add(*address, depth);
}

Status Router::Expansion::add_own_targets(const Address& address) {
  const auto* targets = router_.alias_of(*aliases_, address, nullptr);
  if (targets == nullptr) {
    MAIL_TRY(mailbox, router_.mailbox_of(address));
    if (!mailbox) targets = aliases_->find("@" + address.domain);
  }
  if (targets == nullptr) return {};
  own_only_ = true;
  MAIL_CHECK(add_targets(*targets, address, 1, false));
  // A mailbox alone means that the alias has nothing of its own: the caller knows that case.
  if (std::ranges::all_of(route_.targets, [](const Target& target) {
        return std::holds_alternative<LocalMailbox>(target.destination);
      }))
    route_.targets.clear();
  return {};
}

}  // namespace mail::route
