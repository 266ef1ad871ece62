// What a Client holds only while it has a message or a log-in under way.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "mta/serve/client.h"

namespace mail::mta {

struct Client::Work {
  Transaction transaction;
  std::unique_ptr<spool::Incoming> incoming;
  std::optional<FilteredMessage> filtered;  // in the place of `incoming` until the filters have seen all of it
  HeaderGate header;
  std::vector<std::string> asked;      // RCPTs, where somebody may get a copy because of them
  std::optional<smtp::Reply> refusal;  // of the message that is coming in
  bool look_for_eight_bit = false;
  bool eight_bit = false;
  std::optional<directory::User> user;
  std::string mechanism;  // that the user logged in by
  std::unique_ptr<directory::Login> login;
};

}  // namespace mail::mta
