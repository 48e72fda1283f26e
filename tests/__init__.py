"""Tests of tracktokens: the folders mirror the packages, and ``support`` holds what several of them share.

A package, since some dependency installs a package named ``tests``, which a folder without this file would lose to.
"""
