// What every mode of mda needs: users, routes, store, agent. Opened once, after privileges are dropped.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/settings.h"
#include "directory/directory.h"
#include "mda/agent.h"
#include "route/router.h"
#include "spool/done.h"
#include "spool/spool.h"
#include "spool/writer.h"
#include "store/store.h"

namespace mail::mda {

struct Environment {
  /// With the spool (daemon): messages are forwarded through the queue. Without: through the drop, where there is one.
  static Result<std::unique_ptr<Environment>> open(const config::Settings& settings, bool with_spool,
                                                   Agent::Options options, Disk& disk = Disk::system());

  std::unique_ptr<directory::Directory> users;
  std::optional<route::Router> router;
  std::shared_ptr<store::Store> store;
  std::optional<spool::Spool> spool;
  std::unique_ptr<spool::Writer> writer;
  std::unique_ptr<spool::DoneJournal> done;
  std::unique_ptr<Agent> agent;
};

/// An envelope for what starts here: id, arrival and protocol are set, each recipient is waiting.
spool::Envelope new_envelope(const std::string& reverse_path, const std::vector<std::string>& recipients,
                             std::string protocol, WallTime now);

}  // namespace mail::mda
