"""Results that leave this user's store, and those that come from others.

What is given is a signed record with all that it claims (`giving`); what is taken is verified to
the last block before anything of it is kept or decoded (`taking`). The surfaces call this.
"""
