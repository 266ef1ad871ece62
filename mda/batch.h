// One Agent::deliver(): first every recipient becomes actions, then the store takes all its deliveries at once, then
// the rest is done one by one.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mda/agent.h"
#include "mda/program.h"

namespace mail::mda {

class Batch {
 public:
  /// @param unflushed  takes what the store has not flushed; nullptr: it flushes
  Batch(Agent& agent, std::span<const Item> items, store::Unflushed* unflushed)
      : agent_(agent), items_(items), unflushed_(unflushed) {}
  std::vector<std::vector<Outcome>> run();

 private:
  struct Place {
    std::size_t item, addressee;
  };
  struct ToStore {
    Place place;
    store::DeliveryTarget target;
  };
  struct ToMbox {
    Place place;
    std::string path;
  };
  struct ToProgram {
    Place place;
    ProgramCall call;
  };
  struct ToInject {
    Place place;
    std::vector<std::string> recipients;
  };

  const Item& item(Place place) const { return items_[place.item]; }
  const Addressee& addressee(Place place) const { return items_[place.item].addressees[place.addressee]; }
  void note(Place place, Outcome outcome);
  void note_once(Place place, Outcome outcome);
  std::string fields(Place place) const;
  std::string mailbox_fields(Place place, const std::string& detail) const;

  void plan(Place place);
  void plan_route(Place place);
  void plan_user(Place place, const std::string& name, const std::string& detail);
  bool plan_forward(Place place, const directory::User& user, const std::string& detail);
  void plan_mailbox(Place place, const directory::User& user, const std::string& detail);
  void plan_file(Place place, const std::string& path);
  void plan_routed_program(Place place, const config::Transport& transport);
  void plan_program(Place place, std::vector<std::string> argv, const directory::User* user, const std::string& detail);
  void plan_as_user(Place place, const directory::User& user, const std::string& detail);
  void to_store();
  void store_again(std::vector<ToStore*>& missing);
  std::vector<store::DeliveryOutcome> put(std::span<const store::Delivery> deliveries);
  Outcome of_store(const Status& status) const;

  Agent& agent_;
  std::span<const Item> items_;
  store::Unflushed* const unflushed_;
  std::vector<ToStore> to_store_;
  std::vector<ToMbox> to_mbox_;
  std::vector<ToProgram> to_program_;
  std::vector<ToInject> to_inject_;
  std::vector<std::vector<std::optional<Outcome>>> outcomes_;
};

}  // namespace mail::mda
