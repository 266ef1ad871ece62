#include "config/schema.h"

namespace mail::config {

Rows read_rows() {
  return {
      row<&Settings::imap, &Imap::listen>("imap.listen", "Addresses for IMAP with STARTTLS, port 143."),
      row<&Settings::imap, &Imap::tls_listen>("imap.tls_listen", "Addresses for IMAP over TLS, port 993.", nullptr,
                                              inspect_tls_address),
      row<&Settings::imap, &Imap::login_timeout>("imap.login_timeout", "Time to log in."),
      row<&Settings::imap, &Imap::idle_timeout>("imap.idle_timeout", "Silence after which a session is closed."),
      row<&Settings::imap, &Imap::line_octets>("imap.line_octets", "Longest command without its literals."),
      row<&Settings::imap, &Imap::append_octets>("imap.append_octets", "Largest message that is appended."),
      row<&Settings::imap, &Imap::errors>("imap.errors", "Errors of a client until the session is closed."),
      row<&Settings::imap, &Imap::other_users>(
          "imap.other_users", "First part of the names of other users' mailboxes; empty: they are not seen."),
      row<&Settings::imap, &Imap::shared_list>(
          "imap.shared_list", "File that says whose mailboxes are shared with whom, for LIST; empty: none is kept."),
      row<&Settings::imap, &Imap::server_metadata>(
          "imap.server_metadata", "File of the server's own METADATA, the same for all users; empty: none is kept."),
      row<&Settings::imap, &Imap::administrators>(
          "imap.administrators", "Users who set quotas, rights on everybody's mailboxes, and the server's METADATA."),
      row<&Settings::imap, &Imap::message_limit>(
          "imap.message_limit", "Messages one command works on, the newest first (RFC 9738); 0: any number."),
      row<&Settings::imap, &Imap::utf8_only>("imap.utf8_only",
                                             "Whether clients must speak UTF-8 (UTF8=ONLY); most of today's do not."),
      row<&Settings::imap, &Imap::url_submitters>("imap.url_submitters",
                                                  "Users that fetch URLs for message submission (BURL)."),

      row<&Settings::pop3, &Pop3::listen>("pop3.listen", "Addresses for POP3 with STLS, port 110."),
      row<&Settings::pop3, &Pop3::tls_listen>("pop3.tls_listen", "Addresses for POP3 over TLS, port 995.", nullptr,
                                              inspect_tls_address),
      row<&Settings::pop3, &Pop3::login_timeout>("pop3.login_timeout", "Time to log in."),
      row<&Settings::pop3, &Pop3::idle_timeout>("pop3.idle_timeout",
                                                "Silence after which a session is closed, nothing deleted."),
      row<&Settings::pop3, &Pop3::login_delay>("pop3.login_delay",
                                               "Least time between two log-ins of a user; 0s: none."),
      row<&Settings::pop3, &Pop3::errors>("pop3.errors", "Errors of a client until the session is closed."),
  };
}

}  // namespace mail::config
