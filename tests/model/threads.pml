/* ---- Threads of the owner ---------------------------------------------------------------------------------- */

/* A step. n = 1: it has ended; 2: it will ring. */
inline arm(t_) {
  if
  :: ending[t_] != PENDING -> n = 1
  :: ending[t_] == PENDING && position[t_] == NONE -> request_ring(0, t_, 1); n = 2
  :: ending[t_] == PENDING && position[t_] != NONE ->
     s = position[t_] % SLOTS;
     request_ring(s, t_, 1);
     if :: ok -> n = 2 :: else -> collect_result(s); n = 1 fi;
     s = 0
  fi;
  ok = 0
}

/* Steps. The doorbell's value was read before: owner_doorbell is 0 unless it has rung since. */
inline wait(t_) {
  do
  :: HOLD(true)
       pump();
#ifdef DEFECT_REQUEST_DOES_NOT_LOOK
       if
       :: ending[t_] == PENDING && position[t_] != NONE && !IS_DONE(position[t_] % SLOTS, t_)
       :: else
       fi;
#endif
       STEPS arm(t_) END;
#ifdef DEFECT_DOORBELL_READ_LATE
       owner_doorbell = 0;
#endif
       RELEASE;
     alert();
     if
     :: d_step { n == 1 -> n = 0 } ; break
     :: d_step { n == 2 && owner_doorbell -> n = 0; owner_doorbell = 0 }
     fi
  od
}

/* Steps: waits until no task is left, asks all to leave, and waits for the fork server. */
inline shutdown() {
  do
  :: HOLD(true)
       pump();
       do
       :: STEPS
            STEP
              ok = 1;
              do
              :: i < SLOTS && ok ->
                 if :: owner_of[i] != NONE -> request_ring(i, owner_of[i], 1) :: else fi;
                 i++
              :: else -> i = 0; break
              od;
              n = (unfinished == 0 -> 1 : (ok -> 2 : 0)); ok = 0
            END;
            if :: n != 0 -> break :: else fi
          END;
          pump() /* something is done */
       od;
       RELEASE;
     alert();
     if
     :: d_step { n == 1 -> n = 0 } ; break
     :: d_step { n == 2 && owner_doorbell -> n = 0; owner_doorbell = 0 }
     fi
  od;
  closing = 1;
  ring_all_workers();
  server_gone;
  d_step { stop_service = 1; service_doorbell = 1 }
}

active proctype Owner() {
  byte t = 0;
  LOCALS;
  do
  :: t < TASKS ->
     HOLD(true)
       enqueue(t);
       do
       :: STEPS HAS(JOINED, t) -> t++; enqueue(t) END
       :: else -> break
       od;
       RELEASE;
     alert();
#if ONE_BY_ONE
     owner_doorbell = 0;
     wait(t);
#endif
     t++
  :: else -> t = 0; break
  od;
#if OWNER_IS_AWAY
  backlog == 0; /* none but the service thread moves tasks up */
#endif
  do
  :: d_step { t < TASKS && (!HAS(AWAITED, t) || ending[t] != PENDING) -> t++ }
  :: d_step { t < TASKS && HAS(AWAITED, t) && ending[t] == PENDING -> owner_doorbell = 0 }; wait(t)
  :: else -> t = 0; break
  od;
#if SHUTDOWN
  shutdown()
#endif
}

#if CANCELS
/* Another thread. */
active proctype Canceller() {
  byte t = 0;
  LOCALS;
  do
  :: t < TASKS && HAS(CANCELS, t) ->
     atomic { HAS(started, t) || position[t] != NONE || HAS(backlog, t) || ending[t] != PENDING }; /* submitted */
     HOLD(true)
     if
#ifdef DEFECT_CANCEL_BY_STORE
     :: STEPS
          ending[t] == PENDING && position[t] != NONE && IS_READY(position[t] % SLOTS) -> DRAIN; s = position[t] % SLOTS
        END;
        STEP cancel_ready(s, t); s = 0 END
#else
     :: STEP
          ending[t] == PENDING && position[t] != NONE && IS_READY(position[t] % SLOTS) ->
          DRAIN; s = position[t] % SLOTS; cancel_ready(s, t); s = 0
        END
#endif
     :: STEP
          ending[t] == PENDING && position[t] == NONE -> backlog = backlog & (255 - BIT(t)); END_TASK(t, CANCELLED)
        END
     :: STEP
          ending[t] == PENDING && position[t] != NONE && IS_DONE(position[t] % SLOTS, t) ->
          s = position[t] % SLOTS; collect_result(s); s = 0
        END
     :: FORCE && ending[t] == PENDING && position[t] != NONE && slot[position[t] % SLOTS].tag == RUNNING &&
          late_slot != position[t] % SLOTS ->
        if
        :: STEP
             slot[position[t] % SLOTS].tag == RUNNING ->
             DRAIN; s = position[t] % SLOTS; mark_for_kill(s, t, CANCELLED); s = 0
           END;
           ask_to_kill()
        :: slot[position[t] % SLOTS].tag != RUNNING /* done by now; it is collected by others */
        fi
     :: else
     fi;
     RELEASE;
     alert();
     ring_owner();
     t++
  :: t < TASKS && !HAS(CANCELS, t) -> t++
  :: else -> break
  od
}
#endif
