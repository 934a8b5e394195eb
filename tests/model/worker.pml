/* ---- Workers -------------------------------------------------------------------------------------------------- */

#ifdef STORE_BUFFERS
#define STORE_CURRENT(value) late_current[w] = value
#else
#define STORE_CURRENT(value) record[w].current = value
#endif
#define WORK_IN_SIGHT (READY_AT(cursor) || tail > cursor || closing)

/* The word that a claim leaves. */
#define CLAIMED                                                                                   \
  AT(cursor).tag = RUNNING; AT(cursor).who = w;                                                     \
  task = AT(cursor).task; started = started | BIT(task); runs[task]++;                              \
  assert(runs[task] == 1 && ending[task] == PENDING && !record[w].to_be_killed);                            \
  cursor++

#ifdef DEFECT_CLAIM_BY_STORE
#define MAY_CLAIM true
#else
#define MAY_CLAIM STILL_READY_AT(cursor)
#endif
#ifdef DEFECT_NO_FENCE_AT_CLAIM
#define CLAIM_DRAINS
#else
#define CLAIM_DRAINS DRAIN_CURRENT(w);
#endif

/* The compare-and-swap; whoever stops idling goes on to spread_work. */
inline claim() {
  if
#ifdef DEFECT_CURRENT_AFTER_CLAIM
  :: d_step { MAY_CLAIM -> CLAIMED; more = spins || fresh_awake; fresh_awake = 0 };
     STORE_CURRENT(cursor)
#else
  :: d_step { MAY_CLAIM && !spins && !fresh_awake -> CLAIM_DRAINS CLAIMED }; goto working
  :: d_step { MAY_CLAIM && (spins || fresh_awake) -> CLAIM_DRAINS CLAIMED; fresh_awake = 0; more = 1 }
#endif
  :: d_step { !MAY_CLAIM -> DRAIN_CURRENT(w); STORE_CURRENT(0) }; goto next
  fi
}

inline stop_spinning() {
  if
  :: d_step { spins -> DRAIN_CURRENT(w); spinning = spinning & (255 - BIT(w)); spins = 0 }
  :: !spins
  fi
}

inline spread_work() {
#ifndef DEFECT_NO_SPREAD
  if
  :: d_step { more && !READY_AT(cursor) && tail <= cursor -> more = 0 }
  :: d_step { more && (READY_AT(cursor) || tail > cursor) -> more = 0 };
     stop_spinning();
     if
     :: asleep == 0
     :: asleep != 0 ->
        /* somebody_spins: of two workers, only the other can */
        if
        :: spinning == 0 -> wake_one()
        :: spinning != 0 ->
           if
           :: record[1 - w].current == 0
           :: record[1 - w].current != 0 -> wake_one()
           fi
        fi
     fi
  :: !more
  fi
#else
  more = 0
#endif
}

/* The task's body is over, and its result written. */
inline finish() {
  if
#ifdef DEFECT_FINISH_BY_STORE
  :: d_step {
       MAY_END(task) -> rings_left = AT(cursor - 1).ring_owner_at_end + 2 * AT(cursor - 1).ring_service_at_end;
       if :: AT(cursor - 1).tag == MARKED_FOR_KILL -> to_be_killed = 1 :: else fi
     };
     d_step {
#else
  :: d_step {
       MAY_END(task) -> rings_left = AT(cursor - 1).ring_owner_at_end + 2 * AT(cursor - 1).ring_service_at_end;
       if :: AT(cursor - 1).tag == MARKED_FOR_KILL -> to_be_killed = 1 :: else fi;
#endif
       DRAIN_CURRENT(w);
       AT(cursor - 1).tag = DONE; AT(cursor - 1).who = w; AT(cursor - 1).pos = cursor - 1;
       AT(cursor - 1).ring_owner_at_end = 0; AT(cursor - 1).ring_service_at_end = 0;
       task = NONE
     }
  fi;
  do
  :: d_step { (rings_left & 1) -> ring_owner(); rings_left = rings_left & 2 }
  :: d_step { rings_left == 2 -> ring_service(); rings_left = 0 }
#ifdef DEFECT_MARKED_GOES_ON
  :: d_step { rings_left == 0 -> STORE_CURRENT(0); to_be_killed = 0 }; break
#else
  :: d_step { rings_left == 0 && !to_be_killed -> STORE_CURRENT(0) }; break
  :: d_step { rings_left == 0 && to_be_killed -> more = 1 }; goto await_kill
#endif
  od
}

/* One that is marked for kill waits for it; if the fork server is stopped, for ever. */
#if SERVER_STOPPED
#define DEATH end_to_be_killed: false
#else
#define DEATH false
#endif

/* Counts as spinning, if not too many do. */
inline poll() {
  if
  :: d_step {
       !spins && ((spinning & 1) + (spinning >> 1)) < SPINNERS ->
       DRAIN_CURRENT(w); spinning = spinning | BIT(w); spins = 1
     }
  :: spins || ((spinning & 1) + (spinning >> 1)) >= SPINNERS
  fi
}

/* Before it sleeps: beyond `tail` it may have been led astray. */
inline start_over() {
  if
  :: d_step {
       cursor > tail -> cursor = (tail > SLOTS -> tail - SLOTS : 0);
       if :: head <= tail && head > cursor -> cursor = head :: else fi
     }
  :: cursor <= tail
  fi
}

#if STRAY
#define RESTS(value) resting = (value -> resting | BIT(w) : resting & (255 - BIT(w)));
#else
#define RESTS(value)
#endif

inline sleep() {
  start_over();
#ifdef DEFECT_DOORBELL_CLEARED_LATE
  d_step { fresh_awake = 1; asleep = asleep | BIT(w); DRAIN_CURRENT(w) };
  record[w].doorbell = 0;
#else
  d_step { fresh_awake = 1; record[w].doorbell = 0 };
  d_step { asleep = asleep | BIT(w); DRAIN_CURRENT(w) };
#endif
  stop_spinning();
#ifndef DEFECT_NO_RECHECK_BEFORE_SLEEP
  if
  :: WORK_IN_SIGHT
  :: d_step { !WORK_IN_SIGHT -> RESTS(1) };
#endif
end_asleep:
     d_step { record[w].doorbell == 1 -> RESTS(0) }
#ifndef DEFECT_NO_RECHECK_BEFORE_SLEEP
  fi
#endif
  ;
  d_step { asleep = asleep & (255 - BIT(w)); DRAIN_CURRENT(w) }
}

#define RESET                                                                                     \
  cursor = 0; task = NONE; rings_left = 0; spins = 0; fresh_awake = 0; more = 0; to_be_killed = 0

/* No task is left and the pool is closing. */
inline leave() {
  d_step { closing && tail <= cursor -> DRAIN_CURRENT(w); reap(w); RESET }
}

proctype Worker(byte w) {
  byte cursor = 0, task = NONE, rings_left = 0;
  bit spins = 0, fresh_awake = 0, more = 0, to_be_killed = 0;
not_spawned:
end:
  record[w].life == ALIVE;
  {
    d_step { cursor = head; fresh_awake = 1 };
  next:
    if
    :: READY_AT(cursor) ->
#ifndef DEFECT_CURRENT_AFTER_CLAIM
       STORE_CURRENT(cursor + 1);
#endif
       claim();
       spread_work();
working:
       finish();
       goto next
    :: d_step { !READY_AT(cursor) && cursor < tail ->
         cursor = (cursor + 1 > head -> cursor + 1 : head);
         cursor = (tail > cursor + SLOTS -> tail - SLOTS : cursor) };
       goto next
    :: !READY_AT(cursor) && cursor >= tail
    fi;
#if HEAD
    if :: head < cursor && cursor <= tail -> head = cursor :: else fi;
#endif
#if SPINNERS
    poll();
#endif
    if
    :: READY_AT(cursor) || tail > cursor
    :: leave(); goto not_spawned
    :: sleep(); /* polled long enough */
#if SHUTDOWN
       if
       :: leave(); goto not_spawned
       :: !(closing && tail <= cursor)
       fi
#endif
    fi;
    goto next;
await_kill:
#ifndef DEFECT_MARKED_SPINS
    stop_spinning();
    spread_work();
#endif
    DEATH
  }
#if DEATHS
  unless { d_step { record[w].dead -> reap(w); RESET } }
#endif
  ;
  goto not_spawned
}

init {
  atomic { run Worker(0); run Worker(1) }
}
