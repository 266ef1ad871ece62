// How aliases become targets: depth first, each address once, with limits. Used by router.cpp alone.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "route/router.h"

namespace mail::route {

/// A recipient, taken apart.
struct Router::Address {
  std::string local_part;  ///< As it came, quotes included.
  std::string name;        ///< What it means.
  std::string domain;      ///< Normalised.
  bool source_route = false;
  std::string text() const;
};

class Router::Expansion {
 public:
  Expansion(const Router& router, Route& route, const Context& context)
      : router_(router), context_(context), aliases_(router.directory_.aliases()), route_(route) {}
  /// Adds the targets of a local address. @return temporary where users cannot be asked.
  Status add(const Address& address, int depth);
  /// Adds the target of an address of another host's, or refuses it.
  Status add_remote_recipient(const Address& address);
  /// Adds a user's mailbox, or what the routes have instead.
  Status add_mailbox(const Address& address, const LocalMailbox& mailbox);
  /// Adds what an alias itself runs or writes, for Router::route_spooled().
  Status add_own_targets(const Address& address);

 private:
  Status add_mailbox_or_else(const Address& address, int depth);
  Status add_targets(const std::vector<directory::AliasTarget>& targets, const Address& alias, int depth,
                     bool from_include);
  Status add_target(const directory::AliasTarget& target, const Address& alias, int depth, bool from_include);
  Status add_address(const directory::AliasTarget& target, const Address& alias, int depth);
  Result<bool> add_virtual(const Address& address, int depth, bool catch_all);
  Result<bool> add_routed(const Address& address, const LocalMailbox* mailbox);
  Status add_remote(const Address& address);
  Status add_by_transport(const Address& address, const Routes::Choice& choice);
  void note(std::initializer_list<std::string_view> words);
  void add_final(std::string forward_path, Destination destination);
  void loop(const Address& address);

  const Router& router_;
  const Context& context_;
  std::shared_ptr<const directory::AliasTable> aliases_;
  Route& route_;
  std::set<std::string> active_, seen_;  // lower-case addresses on the way down, and all
  bool own_only_ = false;
};

}  // namespace mail::route
