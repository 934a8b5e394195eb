/* A claim that stores what it saw, rather than compare and swap. */
#define DEFECT_CLAIM_BY_STORE
#include "../configurations/futures.pml"
