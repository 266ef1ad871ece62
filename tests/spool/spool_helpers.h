// What the spool's tests share.
#pragma once
#include <string>
#include <vector>

#include "spool/reader.h"
#include "spool/writer.h"

namespace mail::test {

inline spool::Envelope envelope_for(const std::vector<std::string>& recipients, MessageId id = MessageId::generate()) {
  spool::Envelope e;
  e.id = std::move(id);
  e.arrival = WallTime(std::chrono::microseconds(1'700'000'000'123'456));
  e.client_name = "client.example.net";
  e.client_address = "192.0.2.1";
  e.helo = "client";
  e.protocol = "ESMTP";
  e.reverse_path = "ann@example.net";
  for (const auto& r : recipients) e.recipients.push_back({.forward_path = r});
  return e;
}

inline std::string message_of(std::size_t octets) {
  std::string content = "Subject: test\r\n\r\n";
  while (content.size() < octets) content += "A line of a message that is written in order to be long.\r\n";
  return content;
}

/// Every whole message of a box; a damaged one fails the test by appearing as "damaged".
inline std::vector<std::string> contents_of(const spool::Spool& spool, spool::Box box) {
  std::vector<std::string> out;
  const auto ids = spool.list(box);
  if (!ids) return {"list failed"};
  for (const auto& id : *ids) {
    const auto message = spool::StoredMessage::open(spool, box, id);
    out.push_back(message ? std::string(message->content()) : "damaged");
  }
  return out;
}

}  // namespace mail::test
