"""The mutants of ``leaf``, by what they break. One that applies no more is mended with the change that moved its code."""

from campaign.mutants.mutant import Mutant

ADVISOR = "e2e/test_advisor.py::test_leaf_passes_the_other_cases[{}]"
UMQTT = "firmware/test_umqtt_defects.py::test_a_session_{}"
REBOOT = "firmware/test_services_and_reboots.py::test_{}"
SERVICES = "firmware/test_services.py::test_{}"
RULES = "firmware/test_rules.py::test_{}"
SESSION = "firmware/test_session.py::test_{}"
OUTBOX = "firmware/test_outbox.py::test_{}"
PACKETS = "firmware/test_packets.py::test_{}"

BACKOFF = (RULES.format("the_backoff_is_full_jitter_between_a_floor_and_a_growing_ceiling"),)
RESENT = (SESSION.format("an_unanswered_packet_goes_again_on_the_same_connection_after_ten_seconds"),)
SILENT = (UMQTT.format("ends_a_connection_that_went_silent_within_one_and_a_half_keep_alives"),)
ENDED_JOB = (REBOOT.format("a_job_that_has_ended_is_not_run_again_after_a_reboot_but_reported"),)
KEPT_SETTING = (REBOOT.format("an_accepted_setting_holds_after_a_reboot_without_the_cloud"),)
DESIRED_MEANWHILE = (REBOOT.format("what_is_desired_while_another_value_is_being_taken_is_not_lost"),)
DIFFERENCE = (
    SERVICES.format("an_update_makes_of_what_the_cloud_has_what_the_device_has_and_leaves_what_is_not_the_devices"),
)
CLOCK = ("firmware/test_clock_rules.py::test_a_running_clock_moves_by_its_drift_or_by_the_word_of_two",)
SNTP = (RULES.format("only_a_sound_answer_to_our_own_question_sets_the_clock"),)
CREDENTIALS = ("firmware/test_credentials.py::test_leaf_names_what_it_cannot_use",)
CONFIG = (RULES.format("host_and_device_judge_every_configuration_alike_to_the_letter"),)
MALFORMED = (PACKETS.format("a_malformed_publish_is_named"),)

CONNECTION = (
    Mutant("no jitter", r"^    return _LEAST \+ .*$", "    return ceiling", BACKOFF),
    Mutant("waits in a constant range", r"^    ceiling = .*$", "    ceiling = 8000", BACKOFF),
    Mutant("no least wait", r"^_LEAST = const\(\d+\)", "_LEAST = const(0)", BACKOFF),
    Mutant("waits without a cap", r"^_CAP = const\(\d+\)", "_CAP = const(6000000)", BACKOFF),
    Mutant("a retry after 60 s", r"> _RETRY \* 1000:", "> 60 * 1000:", RESENT),
    Mutant("no DUP", r"flight\.packet\[0\] \|= 0x08", "pass", RESENT),
    Mutant(
        "an unlimited window", r"^_WINDOW = const\(\d+\)", "_WINDOW = const(100)",
        (SESSION.format("eight_publishes_are_in_flight_and_their_pubacks_come_in_any_order"),),
    ),
    Mutant(
        "no PUBACK", r"^            if qos == 1:$", "            if qos == 3:",
        (SESSION.format("an_inbound_message_is_acknowledged_after_its_handler_and_a_duplicate_is_marked"),),
    ),
    Mutant(
        "a PUBACK before the handler", r"^                await self\.on_message\((.*)\)\n            if qos == 1:",
        r"                asyncio.create_task(self.on_message(\1))\n            if qos == 1:",
        (SESSION.format("an_inbound_message_is_acknowledged_after_its_handler_and_a_duplicate_is_marked"),),
    ),
    Mutant("no PINGREQ", r">= self\.keepalive \* 1000:", ">= self.keepalive * 90000:", SILENT),
    Mutant("a PINGRESP is not waited for", r'raise Fault\("keep-alive", "no PINGRESP.*$', "pass", SILENT),
    Mutant(
        "PINGREQ only where nothing is sent",
        r"max\((.*self\.sent\)*), .*self\._received\)* >=", r"\1 >=",
        (SESSION.format("a_server_that_takes_everything_and_sends_nothing_is_noticed_while_telemetry_flows"),),
    ),
    Mutant(
        "a packet identifier of 0", r"self\.pid % 65535 \+ 1", "(self.pid + 1) % 65536",
        (PACKETS.format("identifiers_wrap_to_one_and_skip_those_in_flight"),),
    ),
    Mutant(
        "identifiers in flight are given again", r"if self\.pid not in self\.in_flight:", "if True:",
        (PACKETS.format("identifiers_wrap_to_one_and_skip_those_in_flight"),),
    ),
    Mutant(
        "CONNACK is success",
        r"session\._proven = session\.acknowledged = False", "session._proven = session.acknowledged = True",
        (SESSION.format("the_first_puback_after_five_seconds_proves_a_connection_and_an_earlier_one_does_not"),),
    ),
    Mutant(
        "an early PUBACK is success", r"^_PROVEN_BY_PUBACK = const\(\d+\)", "_PROVEN_BY_PUBACK = const(-1)",
        (SESSION.format("the_first_puback_after_five_seconds_proves_a_connection_and_an_earlier_one_does_not"),),
    ),
    Mutant(
        "what is in flight is lost at a reconnect", r"if not flight\.publish\(\):", "if True:",
        ("e2e/test_session.py::"
         "test_a_reading_without_its_puback_is_sent_again_after_a_reconnect_marked_and_under_its_number",),
    ),
    Mutant(
        "packets before CONNACK", r"^        if self\.up:  #", "        if self._stream:  #",
        (SESSION.format("what_is_posted_before_the_connack_waits_for_it"),),
    ),
    Mutant(
        "a keep-alive that fails is not noticed", r"self\._ended = error$", "return",
        (SESSION.format("a_keep_alive_that_fails_ends_the_connection_instead_of_leaving_it_unwatched"),),
    ),
    Mutant(
        "subscribes in spite of its session", r"if not present or device\.subscribed != topics:",
        "if True:", (ADVISOR.format("MQTT_Persistent_Session_Happy_Case"),),
    ),
    Mutant(
        "does not subscribe again", r"if not present or device\.subscribed != topics:",
        "if device.subscribed != topics:", (ADVISOR.format("MQTT_Expired_Persistent_Session"),),
    ),
    Mutant(
        "nine filters in a SUBSCRIBE", r"^_FILTERS = const\(\d+\)", "_FILTERS = const(9)",
        (UMQTT.format("subscribes_to_eight_filters_a_packet_and_names_the_one_refused"),),
    ),
    Mutant(
        "a refused subscription is not noticed", r"if code == _REFUSED\)", "if code == 0x81)",
        (UMQTT.format("subscribes_to_eight_filters_a_packet_and_names_the_one_refused"),),
    ),
)  # fmt: skip

PARSING = (
    Mutant("QoS 3 is taken", r"if qos == 3:", "if qos == 4:", MALFORMED),
    Mutant("packet identifier 0 is taken", r"if qos and not identifier:", "if False:", MALFORMED),
    Mutant("a topic beyond the packet is taken", r"if at > len\(body\) or", "if", MALFORMED),
    Mutant(
        "no bound on a remaining length", r'raise Malformed\("a remaining length.*$', "return False",
        (PACKETS.format("a_hostile_stream_is_malformed_and_not_an_exception"),),
    ),
    Mutant(
        "a read swallows the next packet", r"max\(2, self\._at \+ 1\)\]", "5]",
        (PACKETS.format("the_parser_never_asks_for_more_than_the_packet_has"),),
    ),
    Mutant(
        "a value of the wrong type is taken", r"if type\(value\) is not kind:", "if False:", CONFIG
    ),
    Mutant("no least value in the configuration", r'if "min" in rule and', 'if "mun" in rule and', CONFIG),
    Mutant(
        "unsound overrides are kept", r'raise Fault\("config", "overrides: " \+ problem\)', "pass",
        (RULES.format("overrides_go_over_the_configuration_and_only_sound_ones_are_kept"),),
    ),
    Mutant(
        "unsound overrides are used", r"^            values = merged$",
        "            pass\n        values = merged",
        (RULES.format("overrides_that_break_a_rule_at_boot_are_left_out"),),
    ),
    Mutant(
        "the issuer passes for the thing", r"return fields\[2\], fields\[4\]", "return fields[4], fields[2]",
        (RULES.format("the_thing_and_its_issuer_are_read_out_of_the_certificate"),),
    ),
)  # fmt: skip

TRUST = (
    Mutant(
        "suites are offered that no embedded root is for", r"if kind in kinds:", "if kinds:",
        (RULES.format("only_suites_are_offered_whose_chain_can_end_at_an_embedded_root"),),
    ),
    Mutant(
        "every root is taken for RSA", r"return der\[start:end\]\.find\(_EC\) >= 0", "return False",
        (RULES.format("the_kind_of_a_roots_key_is_read_from_its_certificate"),),
    ),
    Mutant("a damaged credential is taken", r'if crc != int\.from_bytes\(.*\):', "if False:", CREDENTIALS),
    Mutant(
        "another certificate's key is taken", r"if holds_public and .*:", "if False:",
        ("e2e/test_refused_devices.py::test_a_key_of_another_certificate_is_found_before_anything_is_sent",),
    ),
    Mutant(
        "of several keys the first is taken", r"header\[9\] >= found\[kind\]\[0\]\[9\]", "False",
        ("firmware/test_credentials.py::test_leaf_reads_what_espressifs_parser_reads",),
    ),
    Mutant("a forged time is taken", r"if reply\[24:32\] != nonce:", "if False:", SNTP),
    Mutant("a server without a clock is believed", r"if leap == 3 or stratum > 15:", "if False:", SNTP),
    Mutant("the clock ends in 2036", r"if not seconds & 0x80000000:", "if False:", SNTP),
    Mutant("one server moves a clock that was right", r"if not early and \(.*\):", "if not early:", CLOCK),
    Mutant("no second server is believed", r"if abs\(other .*<= _SLACK:", "if False:", CLOCK),
)  # fmt: skip

READINGS = (
    Mutant(
        "a full RAM drops instead of writing to flash", r"^            self\.flush\(\)\n        if record\.size",
        "            pass\n        if record.size", (OUTBOX.format("a_full_ram_goes_to_flash_and_comes_back_in_order"),),
    ),
    Mutant(
        "a stream that refuses drops", r"return self\.rules\.get\(record\.stream\) == REFUSE_NEW", "return False",
        (OUTBOX.format("a_stream_that_refuses_keeps_its_oldest_and_says_no_to_the_new"),),
    ),
    Mutant(
        "what was dropped is not counted", r"^        self\.dropped\[stream\] = .*$", "        pass",
        (OUTBOX.format("when_flash_is_full_the_oldest_go_and_are_counted"),),
    ),
    Mutant(
        "a damaged record is delivered", r"binascii\.crc32\(body\) != crc", "False",
        (OUTBOX.format("damage_in_a_segment_costs_that_record_and_no_other"),),
    ),
    Mutant(
        "a segment goes before its PUBACKs", r"^                segment\.pending \+= 1$",
        "                pass",
        (OUTBOX.format("what_is_in_flight_stays_in_flash_until_its_puback"),),
    ),
    Mutant(
        "a delivered segment stays", r"if segment\.read and not segment\.pending and not segment\.later:", "if False:",
        (OUTBOX.format("a_segment_goes_with_its_last_puback_however_late_that_comes"),),
    ),
    Mutant(
        "what is in flight at a flush is sent twice", r"(\w+)\.flying\[(.*)\] = True", "pass",
        (OUTBOX.format("records_in_flight_at_a_flush_are_not_sent_twice_in_this_boot"),),
    ),
    Mutant(
        "a record in flight is sent again at once", r"^                record\.flying = True$",
        "                pass",
        (OUTBOX.format("records_in_flight_at_a_flush_are_not_sent_twice_in_this_boot"),),
    ),
)  # fmt: skip

SHADOW_AND_JOBS = (
    Mutant("a job that has ended is run again", r'if resumed and "status" in last:',
           "if False:", ENDED_JOB),
    Mutant("how a job ended is not written down", r"^    jobs\.keep\(ended\)$",
           "    pass", ENDED_JOB),
    Mutant("that a job has begun is not written down", r"^        jobs\.keep\(run\)$",
           "        jobs.last = {}", ENDED_JOB),
    Mutant(
        "a new execution is taken for the old", r' and last\.get\("number"\) == run\["number"\]', "",
        (REBOOT.format("a_new_execution_of_the_same_job_is_run"),),
    ),
    Mutant("what was kept of jobs is not read", r'self\.last = use\(.*\)', "self.last = {}", ENDED_JOB),
    Mutant(
        "a result is sent before it is kept", r"^    jobs\.keep\(ended\)\n    _say\(jobs, job, status, details\)$",
        "    _say(jobs, job, status, details)\n    await asyncio.sleep(0)\n    jobs.keep(ended)",
        (REBOOT.format("the_result_of_a_job_is_in_flash_before_it_is_sent"),),
    ),
    Mutant(
        "an unknown operation is left without an answer", r"except Rejected as error:",
        "except ArithmeticError as error:",
        (REBOOT.format("a_new_execution_of_the_same_job_is_run"),),
    ),
    Mutant("the desired state of a get is left", r'^        _desired\(shadow, document, part\(known, "desired"\)\)$',
           "        pass", (REBOOT.format("the_desired_state_of_a_shadow_that_is_asked_for_is_taken"),)),
    Mutant("the second desired value is lost", r"while shadow\.wanted:", "if shadow.wanted:",
           DESIRED_MEANWHILE),
    Mutant("what is desired meanwhile is lost", r"^        self\.wanted\[name\] = value$",
           "        if not self._working:\n            self.wanted[name] = value", DESIRED_MEANWHILE),
    Mutant("a setting that was taken is not reported",
           r"shadow\.settings\[name\] = shadow\.reported\[name\] = taken", "shadow.settings[name] = taken",
           DESIRED_MEANWHILE),
    Mutant("a setting is not written down", r"shadow\.keep_in = shadow\.keep_in or _KEEP",
           "shadow.keep_in = 0", KEPT_SETTING),
    Mutant("a setting is not written down at a restart", r"^    def leave\(self\):\n        if self\.keep_in:",
           "    def leave(self):\n        if False:", KEPT_SETTING),
    Mutant("a setting that was kept is not applied", r"^        for name in kept:$",
           "        for name in ():", KEPT_SETTING),
    Mutant("what changes during a report is not reported", r"^    shadow\.shown = merged\(shadow\.shown, update\)$",
           "    shadow.shown = merged(shadow.shown, shadow.reported)",
           (REBOOT.format("what_is_desired_while_a_report_is_on_its_way_is_reported_after_it"),)),
    Mutant("an old delta is believed", r"version < shadow\.version:", "version < 0:",
           (SERVICES.format("what_is_older_than_what_was_seen_says_nothing"),)),
    Mutant("what is gone stays in the shadow", r"^            update\[key\] = None$", "            pass",
           DIFFERENCE),
    Mutant("a document may be nested at will", r"if depth > \w+:", "if depth > 5000:",
           (SERVICES.format("only_an_object_that_is_not_nested_too_deeply_is_read"),)),
)  # fmt: skip

MUTANTS = (*CONNECTION, *PARSING, *TRUST, *READINGS, *SHADOW_AND_JOBS)
